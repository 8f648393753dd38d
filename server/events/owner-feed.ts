import type { Ledger } from '../../ledger/database.ts'
import { type EventRow, eventsById, lastSettled, newEvents, SETTLED_AFTER_MS } from '../../ledger/events.ts'
import type { OwnerId } from '../../ledger/ids.ts'
import { metadataCharacters } from './metadata-characters.ts'

/** One event that is not settled, in the order in which this node found it. */
export type FeedEntry = { seq: number; id: number; uploadId: string; event: EventRow | undefined }

const PAGE = 500
/** Events kept in full; older ones only as ids, which streams read again. */
const MAX_KEPT = 1000
/** Events that tell more metadata are read again by each stream. */
const MAX_KEPT_CHARACTERS = 1024

/**
 * New events of one owner, read once for all of the owner's streams on this node.
 * An event may become visible after one with a higher id. So recent events are kept in the order in which they were
 * found, until no event can appear below them: this is so after a read that began `SETTLED_AFTER_MS` after they were
 * found. Everything up to `base` is settled, and read from the ledger page by page where needed.
 */
export class OwnerFeed {
  readonly ownerId: OwnerId
  readonly #db: Ledger
  readonly #onNews: () => void
  #entries: FeedEntry[] = []
  /** The highest id found, and when; oldest first, both rising. */
  readonly #marks: { id: number; at: number }[] = []
  #base: number | undefined
  #seq = 0
  #droppedSeq = 0
  #looking: Promise<void> | undefined
  #next: Promise<void> | undefined

  /** Calls `onNews` when there are new entries. */
  constructor(db: Ledger, ownerId: OwnerId, onNews: () => void) {
    this.#db = db
    this.ownerId = ownerId
    this.#onNews = onNews
  }

  /** No further event up to this id will become visible. */
  get base(): number {
    return this.#base ?? 0
  }

  /** The last entry. */
  get lastSeq(): number {
    return this.#seq
  }

  /** The last entry that was settled and removed. */
  get droppedSeq(): number {
    return this.#droppedSeq
  }

  /** Entries after that one. */
  after(seq: number): readonly FeedEntry[] {
    const first = this.#entries.findIndex((entry) => entry.seq > seq)
    return first === -1 ? [] : this.#entries.slice(first)
  }

  /** Ids of all entries. */
  ids(): number[] {
    return this.#entries.map(({ id }) => id)
  }

  /** The events of entries, in order. Deleted ones are missing. */
  async read(entries: readonly FeedEntry[]): Promise<EventRow[]> {
    const missing = entries.filter(({ event }) => event === undefined).map(({ id }) => id)
    const read = missing.length === 0 ? [] : await eventsById(this.#db, this.ownerId, missing)
    const found = new Map(read.map((event) => [event.id, event]))
    return entries.flatMap(({ id, event }) => event ?? found.get(id) ?? [])
  }

  /**
   * Resolves when everything that was visible at the call is known. At most one read runs and one waits, however many
   * ask. Fails where the ledger does.
   */
  look(): Promise<void> {
    if (!this.#looking) {
      this.#looking = this.#look().finally(() => {
        this.#looking = undefined
      })
      return this.#looking
    }
    const again = () => {
      this.#next = undefined
      return this.look()
    }
    this.#next ??= this.#looking.then(again, again)
    return this.#next
  }

  async #look(): Promise<void> {
    this.#base ??= await lastSettled(this.#db, this.ownerId)
    const at = performance.now()
    const known = this.ids()
    const before = this.#seq
    for (let after = this.#base; ; ) {
      const events = await newEvents(this.#db, { ownerId: this.ownerId, after, known, limit: PAGE })
      for (const event of events) {
        this.#seq += 1
        const isKept = metadataCharacters(event) <= MAX_KEPT_CHARACTERS
        const entry = { id: event.id, uploadId: event.upload_id, event: isKept ? event : undefined }
        this.#entries.push({ seq: this.#seq, ...entry })
      }
      const last = events.at(-1)
      if (last && last.id > (this.#marks.at(-1)?.id ?? this.#base))
        this.#marks.push({ id: last.id, at: performance.now() })
      if (!last || events.length < PAGE) break
      after = last.id
    }
    this.#settle(at - SETTLED_AFTER_MS)
    if (this.#seq > before) this.#onNews()
  }

  /** A read that began `SETTLED_AFTER_MS` after `before` has found everything. */
  #settle(before: number): void {
    let base = this.base
    for (let mark = this.#marks[0]; mark && mark.at <= before; mark = this.#marks[0]) {
      base = mark.id
      this.#marks.shift()
    }
    if (base > this.base) {
      this.#base = base
      const [settled, rest] = [
        this.#entries.filter(({ id }) => id <= base),
        this.#entries.filter(({ id }) => id > base),
      ]
      this.#entries = rest
      this.#droppedSeq = Math.max(this.#droppedSeq, settled.at(-1)?.seq ?? 0)
    }
    for (const entry of this.#entries.slice(0, -MAX_KEPT)) entry.event = undefined
  }
}
