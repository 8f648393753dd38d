import type { Readable } from 'node:stream'
import type { MediaKind } from '../../ledger/schema.ts'
import type { MediaAnswerInput } from './answers.ts'
import type { MediaQuestion } from './questions.ts'

/** What a step of an application may use. */
export type OwnStepContext = MediaQuestion & {
  /** Aborted when its time is over, the worker stops, or another step rejects the file. */
  signal: AbortSignal
  /** Reads the file from its beginning. */
  openFile(): Promise<Readable>
  /** An empty folder for as much as the file has, twice, which is removed afterwards; undefined without `usesFolder`. */
  folder: string | undefined
}

/**
 * A step of processing that an application adds, after the checks of the file and before it is published. It may be run
 * again at any time, from its beginning, until it has ended once.
 */
export type OwnStep = {
  /** Lower-case letters, digits and hyphens. Its records have `own:` before it. */
  name: string
  /** Kinds of files that it is for; all by default. */
  kinds?: readonly MediaKind[]
  usesFolder?: boolean
  /** 300 by default. */
  timeoutSeconds?: number
  run(context: OwnStepContext): Promise<MediaAnswerInput | undefined>
}

const NAME = /^[a-z0-9][a-z0-9-]{0,39}$/
const KINDS: readonly string[] = ['video', 'image', 'audio', 'document', 'file'] satisfies MediaKind[]
const MEMBERS = ['name', 'kinds', 'usesFolder', 'timeoutSeconds', 'run']

/** What is wrong with the steps of a module; undefined where nothing is. */
export function stepsFault(steps: unknown): string | undefined {
  if (!Array.isArray(steps)) return 'has "steps", which is no list'
  const names = new Set<string>()
  for (const [index, step] of steps.entries()) {
    const fault = stepFault(step)
    if (fault !== undefined) return `has steps[${index}], ${fault}`
    if (names.has(step.name)) return `has two steps with the name "${step.name}"`
    names.add(step.name)
  }
  return undefined
}

function stepFault(step: unknown): string | undefined {
  if (typeof step !== 'object' || step === null) return 'which is no step'
  const { name, kinds, usesFolder, timeoutSeconds, run } = step as Record<string, unknown>
  const unknown = Object.keys(step).find((member) => !MEMBERS.includes(member))
  if (unknown !== undefined) return `which has "${unknown}", none of ${MEMBERS.join(', ')}`
  if (typeof name !== 'string' || !NAME.test(name))
    return 'whose name is none: lower-case letters, digits and hyphens, at most 40'
  if (typeof run !== 'function') return 'whose "run" takes a function'
  if (kinds !== undefined && !(Array.isArray(kinds) && kinds.every((kind) => KINDS.includes(kind))))
    return `whose "kinds" are not of ${KINDS.join(', ')}`
  if (usesFolder !== undefined && typeof usesFolder !== 'boolean')
    return 'whose "usesFolder" takes true or false'
  if (timeoutSeconds !== undefined && !(typeof timeoutSeconds === 'number' && timeoutSeconds > 0))
    return 'whose "timeoutSeconds" takes a number above 0'
  return undefined
}
