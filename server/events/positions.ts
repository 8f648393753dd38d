import type { Ledger } from '../../ledger/database.ts'
import { type EventRow, eventsBetween, type OwnerPosition } from '../../ledger/events.ts'
import type { UploadId } from '../../ledger/ids.ts'
import { isFollowed, type OwnerFeed } from './owner-feed.ts'

/** Where a reader is among the events it is to get. */
export interface Position {
  /** The next events, at most `limit`; the same again until they are `passed`. None when it has had all that is known. */
  next(limit: number): Promise<EventRow[]>
  passed(id: number): void
}

/**
 * A position among the events of an owner, or of one upload of theirs. A reader has had everything up to its floor, and
 * some of what lies above. Below the feed's base it goes through the ledger by id, page by page, so that each event is
 * read once; above it takes what the feed has found, and reads nothing. A reader that is so slow that what it has not
 * had is settled meanwhile finds that in the ledger again: nothing is kept for it.
 */
export class FeedPosition implements Position {
  readonly #db: Ledger
  readonly #feed: OwnerFeed
  readonly #uploadId: UploadId | undefined
  readonly #had: Set<number>
  #floor: number
  /** The last entry of the feed that it has had, with all before. */
  #seq = 0
  /** It has taken what the feed has found: before, what the feed has dropped says nothing of what it has had. */
  #isLive = false
  /** What was given, and what is true once all of it is passed. */
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
      // All that has settled meanwhile it had while it was new.
      if (this.#floor < base && this.#seq >= droppedSeq && this.#isLive) this.#rise(base)
      if (this.#floor >= base) return await this.#newEvents(limit)
      const events = await this.#settledEvents(limit, base)
      if (events.length > 0) return events
    }
  }

  passed(id: number): void {
    this.#had.add(id)
  }

  /** Ids that are kept in mind. */
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
    const entries = this.#feed.after(this.#seq)
    const wanted = entries
      .filter(
        (entry) => isFollowed(entry, this.#uploadId) && entry.id > this.#floor && !this.#had.has(entry.id),
      )
      .slice(0, limit)
    const seen = wanted.length < limit ? lastSeq : (wanted.at(-1)?.seq ?? 0)
    const events = await this.#feed.read(wanted)
    this.#given = {
      ids: events.map(({ id }) => id),
      whenPassed: () => {
        this.#seq = Math.max(this.#seq, seen)
      },
    }
    // What is not for this reader it has passed at once: nobody asks again for its sake.
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
