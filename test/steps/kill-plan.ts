import { STEPS } from '../../processing/pipeline.ts'
import type { StorageKind } from '../support/landfall.ts'
import type { Random } from '../support/random.ts'
import { type FileKind, kindFor } from './files.ts'
import type { HoldMoment } from './gate.ts'
import type { KillReport } from './kills.ts'
import type { Model } from './portrait.ts'

export type Kill = {
  step: string
  kind: FileKind
  filename: string
  /** `inside`: some time after the step has begun. `writing`: while it writes the file of a rendition, on a disk. */
  moment: HoldMoment | 'inside' | 'writing'
  afterMs: number
  /** Whether the tools that the worker runs die with it, as they do where the machine does. */
  withTools: boolean
}

export type KillOptions = { storage: StorageKind; random: Random; models: Record<FileKind, Model> }

/** What the first kill of a step is aimed at, the second, and so on. */
const MOMENTS: readonly Kill['moment'][] = [
  'end',
  'writing',
  'inside',
  'begin',
  'inside',
  'commit',
  'inside',
  'inside',
  'writing',
  'inside',
]
/** The shortest steps are over before the kill comes, unless it is drawn from a little more. */
const LEAST_MS = 4

let files = 0

/** So many kills of each step. */
export function drawKills(steps: readonly string[], count: number, options: KillOptions): Kill[] {
  // In turn, so that workers die in different steps side by side.
  return Array.from({ length: count }, (_, n) =>
    steps.map((step) => drawKill(step, n, MOMENTS[n % MOMENTS.length] ?? 'inside', options)),
  ).flat()
}

/** In the place of each that came too late, one that does not. */
export function replaceLate(reports: readonly KillReport[], options: KillOptions): Kill[] {
  return reports
    .filter(({ isLate }) => isLate)
    .map(({ kill: { step } }, n) => drawKill(step, n, n % 2 === 0 ? 'end' : 'begin', options))
}

function drawKill(
  step: string,
  n: number,
  wanted: Kill['moment'],
  { storage, random, models }: KillOptions,
): Kill {
  const kind = kindFor(step, n, models)
  const moment = wanted === 'writing' && !(storage === 'disk' && isWriting(step)) ? 'inside' : wanted
  const longestMs = Math.max(models[kind].stepMs.get(step) ?? 0, LEAST_MS)
  return {
    step,
    kind,
    filename: `${++files} ${step} ${moment}`,
    moment,
    afterMs: moment === 'inside' ? random.fraction() * longestMs : 0,
    withTools: random.chance(0.5),
  }
}

const isWriting = (step: string): boolean => STEPS.some(({ name, produces }) => name === step && produces)
