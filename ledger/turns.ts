export type TurnsOptions = {
  /** Turns that one key has at a time now; at least one. */
  atOnce: () => number
  /** How many of one key may wait. */
  maxWaiting: number
  /** Limit of a wait in milliseconds. */
  maxWaitMs: number
  /**
   * The longest rest before a released turn goes to the next of its key, in milliseconds. It lasts twice as long as the
   * turn did, and until the current turns of other keys are over, so that a key with many short turns leaves two thirds
   * of the time to others. No rest by default.
   */
  restMs?: () => number
}

/** No turn was given: too many of the same key wait, or the wait was too long. */
export class TurnRefused extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'TurnRefused'
  }
}

type Waiter = { start: () => void; since: number }
type Queue = { running: number; waiting: Set<Waiter> }
/** The rest lasts this many times as long as the turn: see `restMs`. */
const RESTS_PER_TURN = 2

/** A running turn. `onOver` is called at its end. */
type Turn = { key: string; since: number; onOver: (() => void)[] }

/**
 * A queue for each key with a limited number of turns at a time. A turn waits for those of the same key only. Nothing
 * is kept of an unused key.
 */
export class Turns {
  readonly #options: TurnsOptions
  readonly #queues = new Map<string, Queue>()
  readonly #turns = new Set<Turn>()

  constructor(options: TurnsOptions) {
    this.#options = options
  }

  /**
   * Resolves with the function that releases the turn, which may be called more than once. Fails with `TurnRefused`, or
   * with the reason of `signal`. `beforeMs`: time that the work has taken already, which counts as part of the turn.
   */
  async enter(key: string, signal?: AbortSignal, beforeMs = 0): Promise<() => void> {
    signal?.throwIfAborted()
    const free = this.enterNow(key, beforeMs)
    if (free) return free
    const queue = this.#queueOf(key)
    await this.#wait(queue, signal)
    return this.#begin(key, queue, beforeMs)
  }

  /** As `enter`, but undefined where no turn is free at once. */
  enterNow(key: string, beforeMs = 0): (() => void) | undefined {
    const queue = this.#queueOf(key)
    if (queue.running >= this.#options.atOnce()) return undefined
    queue.running += 1
    return this.#begin(key, queue, beforeMs)
  }

  #queueOf(key: string): Queue {
    const found = this.#queues.get(key)
    if (found) return found
    const queue: Queue = { running: 0, waiting: new Set() }
    this.#queues.set(key, queue)
    return queue
  }

  #begin(key: string, queue: Queue, beforeMs: number): () => void {
    const turn: Turn = { key, since: performance.now() - beforeMs, onOver: [] }
    this.#turns.add(turn)
    return () => {
      if (!this.#turns.delete(turn)) return
      for (const callback of turn.onOver) callback()
      this.#rest(turn, queue)
    }
  }

  /** Keys in use. */
  get size(): number {
    return this.#queues.size
  }

  /** How long the next of this key has waited. */
  waitedMs(key: string): number {
    const [next] = this.#queues.get(key)?.waiting ?? []
    return next ? performance.now() - next.since : 0
  }

  async #wait(queue: Queue, signal: AbortSignal | undefined): Promise<void> {
    const { maxWaiting, maxWaitMs } = this.#options
    if (queue.waiting.size >= maxWaiting) throw new TurnRefused('too many wait already')
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiting: Waiter = { start: resolve, since: performance.now() }
    const giveUp = (reason: unknown) => {
      if (queue.waiting.delete(waiting)) reject(reason)
    }
    const onAbort = () => giveUp(signal?.reason)
    const timer = setTimeout(() => giveUp(new TurnRefused('waited for too long')), maxWaitMs)
    signal?.addEventListener('abort', onAbort, { once: true })
    queue.waiting.add(waiting)
    try {
      await promise
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  #rest({ key, since }: Turn, queue: Queue): void {
    const maxMs = queue.waiting.size > 0 ? (this.#options.restMs?.() ?? 0) : 0
    if (maxMs <= 0) {
      this.#leave(key, queue)
      return
    }
    const others = [...this.#turns].filter((turn) => turn.key !== key)
    let left = others.length + 1
    const timers: NodeJS.Timeout[] = []
    const goOn = () => {
      left = 0
      for (const timer of timers) clearTimeout(timer)
      this.#leave(key, queue)
    }
    const count = () => {
      left -= 1
      if (left === 0) goOn()
    }
    for (const turn of others) turn.onOver.push(count)
    timers.push(
      setTimeout(count, Math.min(maxMs, RESTS_PER_TURN * (performance.now() - since))),
      setTimeout(goOn, maxMs),
    )
  }

  #leave(key: string, queue: Queue): void {
    queue.running -= 1
    for (const next of queue.waiting) {
      if (queue.running >= this.#options.atOnce()) return
      queue.running += 1
      queue.waiting.delete(next)
      next.start()
    }
    if (queue.running === 0) this.#queues.delete(key)
  }
}
