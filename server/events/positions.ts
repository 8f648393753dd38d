import type { Ledger } from '../../ledger/database.ts'
import {
  type EventRow,
  eventsOfOwner,
  eventsOfUpload,
  type OwnerPosition,
  SETTLED_AFTER_MS,
} from '../../ledger/events.ts'
import type { OwnerId } from '../../ledger/ids.ts'
import type { UploadRow } from '../../ledger/uploads.ts'

/** Where a reader is among the events it is to get. */
export interface Position {
  /** The next events, oldest first and at most `limit`; the same again until they are `passed`. */
  next(limit: number): Promise<EventRow[]>
  passed(id: number): void
}

/** Among the events of one upload, whose ids rise in the order in which they become visible. */
export class UploadPosition implements Position {
  readonly #db: Ledger
  readonly #upload: UploadRow
  #afterId: number

  constructor(db: Ledger, upload: UploadRow, afterId: number) {
    this.#db = db
    this.#upload = upload
    this.#afterId = afterId
  }

  async next(limit: number): Promise<EventRow[]> {
    const { id: uploadId, owner_id: ownerId } = this.#upload
    return await eventsOfUpload(this.#db, { ownerId, uploadId, afterId: this.#afterId, limit })
  }

  passed(id: number): void {
    this.#afterId = id
  }
}

/**
 * Among the events of all uploads of an owner, where one may become visible after another with a higher id. So each
 * look begins a little behind, and leaves out what was passed: the ids are remembered until nothing can appear
 * below them any more, which a look says that finds all there is, `SETTLED_AFTER_MS` after they were seen.
 */
export class OwnersPosition implements Position {
  readonly #db: Ledger
  readonly #ownerId: OwnerId
  readonly #passed: Set<number>
  /** The highest id passed, and when: the oldest first, both rising. */
  readonly #marks: { id: number; at: number }[] = []
  #settled: number

  constructor(db: Ledger, ownerId: OwnerId, { settled, passed }: OwnerPosition) {
    this.#db = db
    this.#ownerId = ownerId
    this.#settled = settled
    this.#passed = new Set(passed)
    const highest = passed.reduce((a, b) => Math.max(a, b), settled)
    this.#marks.push({ id: highest, at: performance.now() })
  }

  async next(limit: number): Promise<EventRow[]> {
    const at = performance.now()
    const position = { settled: this.#settled, passed: [...this.#passed] }
    const events = await eventsOfOwner(this.#db, { ownerId: this.#ownerId, position, limit })
    if (events.length < limit) this.#settle(at - SETTLED_AFTER_MS, events[0]?.id)
    return events
  }

  passed(id: number): void {
    this.#passed.add(id)
    if (id > (this.#marks.at(-1)?.id ?? this.#settled)) this.#marks.push({ id, at: performance.now() })
  }

  /** Ids that are kept in mind. */
  get remembered(): number {
    return this.#passed.size
  }

  /** A look, later than `SETTLED_AFTER_MS` after `before`, has found nothing that is new below the id `first`. */
  #settle(before: number, first = Number.POSITIVE_INFINITY): void {
    const settled = this.#settled
    for (let mark = this.#marks[0]; mark && mark.at <= before && mark.id < first; mark = this.#marks[0]) {
      this.#settled = Math.max(this.#settled, mark.id)
      this.#marks.shift()
    }
    if (this.#settled === settled) return
    for (const id of this.#passed) if (id <= this.#settled) this.#passed.delete(id)
  }
}
