import type { Ledger } from '../../ledger/database.ts'
import { type EventRow, eventsBetween, type OwnerPosition } from '../../ledger/events.ts'
import type { UploadId } from '../../ledger/ids.ts'
import type { FeedEntry, OwnerFeed } from './owner-feed.ts'

/** The position of a reader in its events. */
export interface Position {
  /**
   * The next events, at most `limit`; the same again until they are `passed`. Empty when it has received all known
   * ones.
   */
  next(limit: number): Promise<EventRow[]>
  passed(id: number): void
}

/**
 * A position among the events of an owner, or of one of their uploads. The reader has received everything up to its
 * floor, and some events above. Below the feed's base it reads the ledger by id, page by page; above, it takes the
 * entries of the feed without reading. Events that are settled before a slow reader gets them are read from the ledger:
 * nothing is kept for it.
 */
export class FeedPosition implements Position {
  readonly #db: Ledger
  readonly #feed: OwnerFeed
  readonly #uploadId: UploadId | undefined
  readonly #had: Set<number>
  #floor: number
  /** The last entry of the feed that it has received, with all before. */
  #seq = 0
  /** It has taken the entries of the feed: before that, removed entries do not show what it has received. */
  #isLive = false
  /** The events that were returned, and the position once they are passed. */
  #given: { ids: readonly number[]; whenPassed: () => void } | undefined

  constructor(
    db: Ledger,
    feed: OwnerFeed,
    { settled, passed }: OwnerPosition,
    uploadId: UploadId | undefined,
  ) {
    this.#db = db
    this.#feed = feed
    this.#uploadId = uploadId
    this.#floor = settled
    this.#had = new Set(passed)
  }

  async next(limit: number): Promise<EventRow[]> {
    for (;;) {
      const given = this.#given
      this.#given = undefined
      if (given?.ids.every((id) => this.#had.has(id))) given.whenPassed()
      const { base, droppedSeq } = this.#feed
      // It received everything that has settled meanwhile while it was new.
      if (this.#floor < base && this.#seq >= droppedSeq && this.#isLive) this.#rise(base)
      if (this.#floor >= base) return await this.#newEvents(limit)
      const events = await this.#settledEvents(limit, base)
      if (events.length > 0) return events
    }
  }

  passed(id: number): void {
    this.#had.add(id)
  }

  /** Number of remembered ids. */
  get remembered(): number {
    return this.#had.size
  }

  async #settledEvents(limit: number, base: number): Promise<EventRow[]> {
    const page = await eventsBetween(this.#db, {
      ownerId: this.#feed.ownerId,
      uploadId: this.#uploadId,
      after: this.#floor,
      upTo: base,
      limit,
    })
    const last = page.length < limit ? undefined : page.at(-1)
    const events = page.filter(({ id }) => !this.#had.has(id))
    this.#given = {
      ids: events.map(({ id }) => id),
      whenPassed: () => this.#rise(last?.id ?? base),
    }
    return events
  }

  async #newEvents(limit: number): Promise<EventRow[]> {
    this.#isLive = true
    const { lastSeq } = this.#feed
    const isWanted = ({ id, uploadId }: FeedEntry) =>
      (this.#uploadId ?? uploadId) === uploadId && id > this.#floor && !this.#had.has(id)
    const wanted = this.#feed.after(this.#seq).filter(isWanted).slice(0, limit)
    const seen = wanted.length < limit ? lastSeq : (wanted.at(-1)?.seq ?? 0)
    const events = await this.#feed.read(wanted)
    this.#given = {
      ids: events.map(({ id }) => id),
      whenPassed: () => {
        this.#seq = Math.max(this.#seq, seen)
      },
    }
    // Entries for other readers are passed at once.
    if (events.length === 0) {
      this.#given.whenPassed()
      this.#given = undefined
    }
    return events
  }

  #rise(floor: number): void {
    this.#floor = floor
    for (const id of this.#had) if (id <= floor) this.#had.delete(id)
  }
}
