import type { Readable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import type { MediaAnswerInput, PreCreateAnswerInput } from './answers.ts'
import type { HookName, HookSource } from './own-hooks.ts'
import { type OwnStep, stepsFault } from './own-step.ts'
import type { MediaQuestion, PreCreateQuestion } from './questions.ts'

/** What a module of hooks may use. `signal` is aborted when its time is over. */
export type HookContext = { signal: AbortSignal }
export type MediaContext = HookContext & {
  /** Reads the file from its beginning. */
  openFile(): Promise<Readable>
}

type Answer<Input> = Promise<Input | undefined> | Input | undefined

/** The hooks of an application, as the default export of the module that `HOOKS` names. */
export type Hooks = {
  /** Asked before an upload is created, by the server. */
  preCreate?(question: PreCreateQuestion, context: HookContext): Answer<PreCreateAnswerInput>
  /** Asked before a file becomes ready, by a worker. */
  prePublish?(question: MediaQuestion, context: MediaContext): Answer<MediaAnswerInput>
  /** Run before that, by a worker. */
  steps?: readonly OwnStep[]
}

type Ask = (question: object, context: object) => unknown
const MEMBERS: Record<HookName, 'preCreate' | 'prePublish'> = {
  'pre-create': 'preCreate',
  'pre-publish': 'prePublish',
}

/** Loads a module of hooks. Fails with a sentence where it cannot be loaded, or exports something else. */
export async function moduleSource(path: string): Promise<HookSource> {
  const hooks = hooksIn(path, await load(path))
  return {
    name: 'HOOKS',
    steps: hooks.steps ?? [],
    async ask({ hook, data, openFile }, signal) {
      const ask = hooks[MEMBERS[hook]] as Ask | undefined
      // A hook that changes what it was given changes nothing of ours.
      return await ask?.call(hooks, structuredClone(data), { signal, ...(openFile ? { openFile } : {}) })
    },
  }
}

async function load(path: string): Promise<unknown> {
  try {
    return ((await import(pathToFileURL(path).href)) as { default?: unknown }).default
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Error(`the module of hooks ${path} could not be loaded: ${why}`, { cause: error })
  }
}

function hooksIn(path: string, value: unknown): Hooks {
  const names: readonly string[] = [...Object.values(MEMBERS), 'steps']
  const what = (fault: string) => new Error(`the module of hooks ${path} ${fault}`)
  if (typeof value !== 'object' || value === null) throw what('has no default export with hooks')
  for (const [name, member] of Object.entries(value)) {
    if (!names.includes(name)) throw what(`has "${name}", which is none of ${names.join(', ')}`)
    const fault = name === 'steps' ? stepsFault(member) : functionFault(name, member)
    if (fault !== undefined) throw what(fault)
  }
  return value as Hooks
}

const functionFault = (name: string, member: unknown): string | undefined =>
  typeof member === 'function' ? undefined : `has "${name}", which is no function`
