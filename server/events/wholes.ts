import type { Whole } from '../../ledger/wholes.ts'
import { describeProgress, type Progress, type ProgressBoard } from './progress-board.ts'

/** The file that a partial upload is for, as far as it is known. */
export type WholeProgress = Progress & {
  /** What the client calls it in the metadata of its partials. */
  key: string | null
  /** The final upload that is made of them. */
  finalId: string | null
}

/** Progress of a whole: the sum of what is known of its partial uploads. */
export function progressOfWhole(whole: Whole, board: Pick<ProgressBoard, 'of'>): WholeProgress {
  const parts = whole.parts.map((part) => board.of({ ...part, state: 'open' }))
  const speeds = parts.flatMap(({ bytesPerSecond }) => bytesPerSecond ?? [])
  const known = parts.map(({ size, offset }) => size ?? offset)
  const areSized = parts.every(({ size }) => size !== null)
  // A client may say less than it sends.
  const size = whole.size === null && !areSized ? null : Math.max(whole.size ?? 0, sum(known))
  return {
    key: whole.parts.find(({ key }) => key !== null)?.key ?? null,
    finalId: whole.finalId,
    ...describeProgress(
      sum(parts.map(({ offset }) => offset)),
      size,
      speeds.length === 0 ? null : sum(speeds),
    ),
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

const rank = ({ isWaiting, finalId }: Whole): number => (isWaiting ? 0 : finalId === null ? 2 : 1)

/** The whole of each partial upload, and the progress of each final one: a final that waits goes first, then any final. */
export function wholesById(wholes: readonly Whole[], board: Pick<ProgressBoard, 'of'>) {
  const ofPartials = new Map<string, WholeProgress>()
  const ofFinals = new Map<string, Progress>()
  for (const whole of wholes.toSorted((a, b) => rank(a) - rank(b))) {
    const progress = progressOfWhole(whole, board)
    for (const { id } of whole.parts) if (!ofPartials.has(id)) ofPartials.set(id, progress)
    if (whole.finalId === null) continue
    const { key: _, finalId: __, ...ofFinal } = progress
    ofFinals.set(whole.finalId, ofFinal)
  }
  return { ofPartials, ofFinals }
}
