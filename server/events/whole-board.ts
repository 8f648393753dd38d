import type { Ledger } from '../../ledger/database.ts'
import type { UploadId } from '../../ledger/ids.ts'
import { type Whole, wholesOf } from '../../ledger/wholes.ts'
import { RecentMap } from '../../system/recent-map.ts'
import type { Progress, ProgressBoard } from './progress-board.ts'
import { type WholeProgress, wholesById } from './wholes.ts'

const MAX_KNOWN = 10_000

type Subject = Parameters<ProgressBoard['of']>[0]

/** Progress as streams tell it: with the whole of a partial upload, and with that of its partials for a final one. */
export class WholeBoard {
  readonly #db: Ledger
  readonly #board: Pick<ProgressBoard, 'of'>
  readonly #partials = new RecentMap<string, WholeProgress | null>(MAX_KNOWN)
  readonly #finals = new RecentMap<string, Progress>(MAX_KNOWN)

  constructor(db: Ledger, board: Pick<ProgressBoard, 'of'>) {
    this.#db = db
    this.#board = board
  }

  /** Looks up the wholes of these partial or final uploads. */
  async learn(partials: readonly UploadId[], finals: readonly UploadId[] = []): Promise<Whole[]> {
    const wholes = await wholesOf(this.#db, undefined, [...partials, ...finals])
    const { ofPartials, ofFinals } = wholesById(wholes, this.#board)
    for (const id of partials) this.#partials.set(id, ofPartials.get(id) ?? null)
    for (const [id, progress] of ofFinals) this.#finals.set(id, progress)
    return wholes
  }

  /** Progress of an upload, as last learned of its whole. */
  of(subject: Subject): Progress & { isPartial?: true; whole?: WholeProgress | null } {
    const ofFinal = subject.state === 'open' ? this.#finals.get(subject.id) : undefined
    if (ofFinal) return ofFinal
    const whole = this.#partials.get(subject.id)
    const progress = this.#board.of(subject)
    return whole === undefined ? progress : { ...progress, isPartial: true, whole }
  }
}
