import pg from 'pg'
import type { Ledger } from './database.ts'
import { databaseOutage } from './outages.ts'

/** How long one batch may keep the next one waiting. Far more than it takes, unless its connection hangs. */
const PATIENCE_MS = 1000
/** Items of one batch: its transaction should not hold locks for long, and the next batch waits for it. */
const MOST_AT_ONCE = 25

/** Where batches go one after another, because two at once would only be in each other's way. */
export class Lane {
  #last: Promise<void> = Promise.resolve()
  /** How many items of an owner are done alone at the moment. */
  readonly #alone = new Map<string, number>()
  readonly #members: LaneMember[] = []
  #lastPlace = 0

  /** Does the work, which must not fail, when what came before it is done or hangs. */
  enter(work: () => Promise<void>): void {
    this.#last = this.#last.then(() => withPatience(work()))
  }

  /** Whether items of this owner are done alone, and do not hang. */
  isBusy(owner: string): boolean {
    return this.#alone.has(owner)
  }

  /** Notes that an item of this owner is done alone, until `work`, which must not fail, ends or hangs. */
  hold(owner: string, work: Promise<unknown>): void {
    this.#alone.set(owner, (this.#alone.get(owner) ?? 0) + 1)
    void withPatience(work).then(() => {
      const left = (this.#alone.get(owner) ?? 1) - 1
      if (left > 0) return this.#alone.set(owner, left)
      this.#alone.delete(owner)
      // Oldest item first: the first batch may make the owner busy again, and the others then wait once more.
      const inOrder = this.#members.map((member) => ({ member, place: member.firstPlace() }))
      for (const { member } of inOrder.sort((a, b) => a.place - b.place)) member.schedule()
    })
  }

  /** A member has its next batch made whenever an owner is busy no more. */
  join(member: LaneMember): void {
    this.#members.push(member)
  }

  /** The place of the next item among all of the lane. */
  nextPlace(): number {
    return ++this.#lastPlace
  }
}

type LaneMember = {
  /** The place of the item that has waited longest of those that can go; infinity where there is none. */
  firstPlace(): number
  /** Enters the lane where an item can go. */
  schedule(): void
}

export type BatchWork<Item, Result> = {
  /** Whose an item is: where more wait than fit into a batch, owners take turns. */
  ownerOf: (item: Item) => string
  /**
   * Does in one transaction what can be done without waiting for anybody's locks: a neighbour must not stand
   * still because of one item. Says undefined of each item that it left as it was.
   */
  together: (items: readonly Item[]) => Promise<readonly (Result | undefined)[]>
  /** Does one item by itself, with everything that may come up. */
  alone: (item: Item) => Promise<Result>
  /**
   * Whether one that is done alone locks what all items of its owner need. Then the owner's others wait until it is
   * done, and go together: a batch would find the lock taken, and leave them to go alone as well, on and on.
   */
  locksOwner?: boolean
}

/**
 * Group commit: what arrives while a batch is under way goes together in the next one. Nothing is delayed for
 * company. Whatever cannot go with the others goes alone, as if there were no batches.
 */
export class Batches<Item, Result> {
  readonly #work: BatchWork<Item, Result>
  readonly #lane: Lane
  readonly #waiting: Waiting<Item, Result>[] = []
  #isScheduled = false

  constructor(work: BatchWork<Item, Result>, lane = new Lane()) {
    this.#work = work
    this.#lane = lane
    const firstPlace = () =>
      this.#waiting.find((waiting) => this.#isReady(waiting))?.place ?? Number.POSITIVE_INFINITY
    if (work.locksOwner) lane.join({ firstPlace, schedule: () => this.#schedule() })
  }

  add(item: Item): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>()
    this.#waiting.push({ item, place: this.#lane.nextPlace(), resolve, reject })
    this.#schedule()
    return promise
  }

  #schedule(): void {
    if (this.#isScheduled || !this.#waiting.some((waiting) => this.#isReady(waiting))) return
    this.#isScheduled = true
    this.#lane.enter(() => this.#next())
  }

  #isReady({ item }: Waiting<Item, Result>): boolean {
    return !this.#work.locksOwner || !this.#lane.isBusy(this.#work.ownerOf(item))
  }

  /** The next batch: of each owner in turn the one that has waited longest, in the order in which they came. */
  #takeFairly(): Waiting<Item, Result>[] {
    const ready = this.#waiting.filter((waiting) => this.#isReady(waiting))
    const batch = ready.length <= MOST_AT_ONCE ? ready : this.#takeInOrder(ready)
    const taken = new Set(batch)
    this.#waiting.splice(0, this.#waiting.length, ...this.#waiting.filter((one) => !taken.has(one)))
    return batch
  }

  #takeInOrder(ready: readonly Waiting<Item, Result>[]): Waiting<Item, Result>[] {
    const turns = new Map<string, number>()
    const ordered = ready.map((waiting) => {
      const owner = this.#work.ownerOf(waiting.item)
      const turn = turns.get(owner) ?? 0
      turns.set(owner, turn + 1)
      return { waiting, turn }
    })
    ordered.sort((a, b) => a.turn - b.turn || a.waiting.place - b.waiting.place)
    return ordered.slice(0, MOST_AT_ONCE).map(({ waiting }) => waiting)
  }

  async #next(): Promise<void> {
    this.#isScheduled = false
    const batch = this.#takeFairly()
    this.#schedule()
    if (batch.length === 0) return
    let results: readonly (Result | undefined)[] = []
    try {
      results = await this.#work.together(batch.map(({ item }) => item))
    } catch (error) {
      // Doing again what may have been committed would do it twice.
      if (!isWorthDoingAlone(error)) {
        for (const { reject } of batch) reject(error)
        return
      }
    }
    for (const [index, { item, resolve, reject }] of batch.entries()) {
      const result = results[index]
      if (result === undefined) this.#goAlone(item).then(resolve, reject)
      else resolve(result)
    }
  }

  async #goAlone(item: Item): Promise<Result> {
    const work = this.#work.alone(item)
    if (this.#work.locksOwner) this.#lane.hold(this.#work.ownerOf(item), Promise.allSettled([work]))
    return await work
  }
}

type Waiting<Item, Result> = {
  item: Item
  place: number
  resolve: (result: Result) => void
  reject: (error: unknown) => void
}

/** One of a thing for each ledger: only those who share a pool can go together. */
export function perLedger<Kept>(make: (db: Ledger) => Kept): (db: Ledger) => Kept {
  const kept = new WeakMap<Ledger, Kept>()
  return (db) => {
    const found = kept.get(db) ?? make(db)
    kept.set(db, found)
    return found
  }
}

/** Creations and finishes change the same row, that of their owner's usage, so they take turns. */
export const usageLane = perLedger(() => new Lane())

/** Two transactions were in each other's way, or one waited for a lock for too long: one item may well pass. */
const CONTENTION = /^(40001|40P01|55P03)$/

/**
 * Whether the database has refused a statement, and with it all of the batch, because of one of its items. During an
 * outage they all fail alike: dozens of them would only hang one by one. And where a connection broke or the server
 * went down or failed itself, a commit may have gone through before.
 */
export function isWorthDoingAlone(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false
  return databaseOutage(error) === undefined
    ? !/^XX/.test(error.code ?? 'XX')
    : CONTENTION.test(error.code ?? '')
}

async function withPatience(work: Promise<unknown>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, PATIENCE_MS)
  await Promise.race([work, promise])
  clearTimeout(timer)
}
