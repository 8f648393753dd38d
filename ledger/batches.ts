import pg from 'pg'
import type { Ledger } from './database.ts'
import { databaseOutage } from './outages.ts'

/** How long one batch may keep the next one waiting. Far more than it takes, unless its connection hangs. */
const PATIENCE_MS = 1000
/** Items of one batch: its transaction should not hold locks for long. */
const MOST_AT_ONCE = 100

/** Where batches go one after another, because two at once would only be in each other's way. */
export class Lane {
  #last: Promise<void> = Promise.resolve()

  /** Does the work, which must not fail, when what came before it is done or hangs. */
  enter(work: () => Promise<void>): void {
    this.#last = this.#last.then(() => withPatience(work()))
  }
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
}

/**
 * Group commit: what arrives while a batch is under way goes together in the next one. Nothing is delayed for
 * company. Whatever cannot go with the others goes alone, as if there were no batches.
 */
export class Batches<Item, Result> {
  readonly #work: BatchWork<Item, Result>
  readonly #lane: Lane
  readonly #waiting: Waiting<Item, Result>[] = []

  constructor(work: BatchWork<Item, Result>, lane = new Lane()) {
    this.#work = work
    this.#lane = lane
  }

  add(item: Item): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>()
    this.#waiting.push({ item, resolve, reject })
    if (this.#waiting.length === 1) this.#lane.enter(() => this.#next())
    return promise
  }

  /** The next batch: of each owner in turn the one that has waited longest, in the order in which they came. */
  #takeFairly(): Waiting<Item, Result>[] {
    if (this.#waiting.length <= MOST_AT_ONCE) return this.#waiting.splice(0)
    const turns = new Map<string, number>()
    const inTurn = this.#waiting.map((waiting, place) => {
      const owner = this.#work.ownerOf(waiting.item)
      const turn = turns.get(owner) ?? 0
      turns.set(owner, turn + 1)
      return { waiting, turn, place }
    })
    inTurn.sort((a, b) => a.turn - b.turn || a.place - b.place)
    const batch = inTurn.splice(0, MOST_AT_ONCE).map(({ waiting }) => waiting)
    const taken = new Set(batch)
    this.#waiting.splice(0, this.#waiting.length, ...this.#waiting.filter((one) => !taken.has(one)))
    return batch
  }

  async #next(): Promise<void> {
    const batch = this.#takeFairly()
    if (this.#waiting.length > 0) this.#lane.enter(() => this.#next())
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
      if (result === undefined) this.#work.alone(item).then(resolve, reject)
      else resolve(result)
    }
  }
}

type Waiting<Item, Result> = {
  item: Item
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
 * outage they all fail alike: a hundred of them would only hang one by one. And where a connection broke or the server
 * went down or failed itself, a commit may have gone through before.
 */
export function isWorthDoingAlone(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false
  return databaseOutage(error) === undefined
    ? !/^XX/.test(error.code ?? 'XX')
    : CONTENTION.test(error.code ?? '')
}

async function withPatience(work: Promise<void>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, PATIENCE_MS)
  await Promise.race([work, promise])
  clearTimeout(timer)
}
