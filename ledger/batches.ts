import pg from 'pg'
import type { Ledger } from './database.ts'
import { databaseOutage } from './outages.ts'

/** The next batch starts after this long although one is running. It takes far less, unless its connection hangs. */
const BATCH_TIMEOUT_MS = 1000
/** Items of one batch: its transaction should not hold locks for long, and the next batch waits for it. */
const MAX_AT_ONCE = 25

/** Runs batches one after another: two at once would wait for each other's locks. */
export class SerialExecutor {
  #last: Promise<void> = Promise.resolve()
  /** How many items of an owner are done alone at the moment. */
  readonly #alone = new Map<string, number>()
  readonly #members: ExecutorMember[] = []
  #lastPosition = 0

  /** Runs the work, which must not fail, when what came before it is done or hangs. */
  enter(work: () => Promise<void>): void {
    this.#last = this.#last.then(() => withTimeout(work()))
  }

  /** Whether items of this owner are done alone, and do not hang. */
  isBusy(owner: string): boolean {
    return this.#alone.has(owner)
  }

  /** Notes that an item of this owner is done alone, until `work`, which must not fail, ends or hangs. */
  hold(owner: string, work: Promise<unknown>): void {
    this.#alone.set(owner, (this.#alone.get(owner) ?? 0) + 1)
    void withTimeout(work).then(() => {
      const left = (this.#alone.get(owner) ?? 1) - 1
      if (left > 0) return this.#alone.set(owner, left)
      this.#alone.delete(owner)
      // Oldest item first: the first batch may make the owner busy again, and the others then wait once more.
      const inOrder = this.#members.map((member) => ({ member, position: member.firstPosition() }))
      for (const { member } of inOrder.sort((a, b) => a.position - b.position)) member.schedule()
    })
  }

  /** `member` schedules its next batch whenever an owner is no longer busy. */
  join(member: ExecutorMember): void {
    this.#members.push(member)
  }

  /** The position of the next item among those of all members. */
  nextPosition(): number {
    return ++this.#lastPosition
  }
}

type ExecutorMember = {
  /** The position of the first item that can go; infinity where there is none. */
  firstPosition(): number
  /** Enters the executor where an item can go. */
  schedule(): void
}

export type BatchWork<Item, Result> = {
  /** The owner of an item: where more wait than fit into a batch, owners take turns. */
  ownerOf: (item: Item) => string
  /**
   * Does in one transaction what needs no lock that somebody else holds: one item must not delay the others. Returns
   * undefined for each item that it left as it was.
   */
  together: (items: readonly Item[]) => Promise<readonly (Result | undefined)[]>
  /** Does one item by itself, waiting for locks. */
  alone: (item: Item) => Promise<Result>
  /**
   * Whether an item that is done alone locks what all items of its owner need. Then the owner's others wait until it is
   * done, and go together: a batch would find the lock taken, and leave them to go alone as well.
   */
  locksOwner?: boolean
}

/**
 * Group commit: items that arrive while a batch is running go together in the next one. No item waits for others to
 * arrive. One that cannot go with the others is done alone, as if there were no batches.
 */
export class Batches<Item, Result> {
  readonly #work: BatchWork<Item, Result>
  readonly #executor: SerialExecutor
  readonly #waiting: Waiter<Item, Result>[] = []
  #isScheduled = false

  constructor(work: BatchWork<Item, Result>, executor = new SerialExecutor()) {
    this.#work = work
    this.#executor = executor
    const firstPosition = () =>
      this.#waiting.find((waiting) => this.#isReady(waiting))?.position ?? Number.POSITIVE_INFINITY
    if (work.locksOwner) executor.join({ firstPosition, schedule: () => this.#schedule() })
  }

  add(item: Item): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>()
    this.#waiting.push({ item, position: this.#executor.nextPosition(), resolve, reject })
    this.#schedule()
    return promise
  }

  #schedule(): void {
    if (this.#isScheduled || !this.#waiting.some((waiting) => this.#isReady(waiting))) return
    this.#isScheduled = true
    this.#executor.enter(() => this.#next())
  }

  #isReady({ item }: Waiter<Item, Result>): boolean {
    return !this.#work.locksOwner || !this.#executor.isBusy(this.#work.ownerOf(item))
  }

  /** The next batch: the oldest item of each owner, then the second of each, and so on. */
  #takeFairly(): Waiter<Item, Result>[] {
    const ready = this.#waiting.filter((waiting) => this.#isReady(waiting))
    const batch = ready.length <= MAX_AT_ONCE ? ready : this.#takeInOrder(ready)
    const taken = new Set(batch)
    this.#waiting.splice(0, this.#waiting.length, ...this.#waiting.filter((one) => !taken.has(one)))
    return batch
  }

  #takeInOrder(ready: readonly Waiter<Item, Result>[]): Waiter<Item, Result>[] {
    const turns = new Map<string, number>()
    const ordered = ready.map((waiting) => {
      const owner = this.#work.ownerOf(waiting.item)
      const turn = turns.get(owner) ?? 0
      turns.set(owner, turn + 1)
      return { waiting, turn }
    })
    ordered.sort((a, b) => a.turn - b.turn || a.waiting.position - b.waiting.position)
    return ordered.slice(0, MAX_AT_ONCE).map(({ waiting }) => waiting)
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
      // The batch may have been committed.
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
    if (this.#work.locksOwner) this.#executor.hold(this.#work.ownerOf(item), Promise.allSettled([work]))
    return await work
  }
}

type Waiter<Item, Result> = {
  item: Item
  position: number
  resolve: (result: Result) => void
  reject: (error: unknown) => void
}

/** One value for each ledger: only items that share a pool can go together. */
export function perLedger<Kept>(make: (db: Ledger) => Kept): (db: Ledger) => Kept {
  const kept = new WeakMap<Ledger, Kept>()
  return (db) => {
    const found = kept.get(db) ?? make(db)
    kept.set(db, found)
    return found
  }
}

/** Creations and finishes change the row of their owner's usage, so they run one after another. */
export const usageExecutor = perLedger(() => new SerialExecutor())

/** Two transactions conflicted, or one waited too long for a lock: a single item may succeed. */
const CONTENTION = /^(40001|40P01|55P03)$/

/**
 * Whether the database refused a statement because of one item of the batch. During an outage all items would fail
 * alike, one after another; and where a connection broke or the server failed, the batch may have been committed.
 */
export function isWorthDoingAlone(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false
  return databaseOutage(error) === undefined
    ? !/^XX/.test(error.code ?? 'XX')
    : CONTENTION.test(error.code ?? '')
}

async function withTimeout(work: Promise<unknown>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, BATCH_TIMEOUT_MS)
  await Promise.race([work, promise])
  clearTimeout(timer)
}
