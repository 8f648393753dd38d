export type TurnsOptions = {
  /** Turns that one key has at a time, as things are; one at least. */
  atOnce: () => number
  /** How many of one key may wait for theirs. */
  maxWaiting: number
  /** How long one waits before it gives up. */
  patienceMs: number
}

/** There is no turn: too many of the same key wait, or one has waited for too long. */
export class NoTurn extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'NoTurn'
  }
}

type Waiting = { start: () => void; since: number }
type Queue = { running: number; waiting: Set<Waiting> }

/**
 * A queue for each key, in which so many have a turn at a time. A turn of one key waits behind those of the
 * same key and of no other. Nothing is kept of a key that nobody uses.
 */
export class Turns {
  readonly #options: TurnsOptions
  readonly #queues = new Map<string, Queue>()

  constructor(options: TurnsOptions) {
    this.#options = options
  }

  /**
   * Resolves with the function that gives the turn back, which may be called more than once. Fails with `NoTurn`, or
   * with the reason of `signal`.
   */
  async enter(key: string, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted()
    const queue = this.#queues.get(key) ?? { running: 0, waiting: new Set() }
    this.#queues.set(key, queue)
    if (queue.running < this.#options.atOnce()) queue.running += 1
    else await this.#wait(queue, signal)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      this.#leave(key, queue)
    }
  }

  /** Keys that are in use. */
  get size(): number {
    return this.#queues.size
  }

  /** How long the next of this key has waited. */
  waitedMs(key: string): number {
    const [next] = this.#queues.get(key)?.waiting ?? []
    return next ? performance.now() - next.since : 0
  }

  async #wait(queue: Queue, signal: AbortSignal | undefined): Promise<void> {
    const { maxWaiting, patienceMs } = this.#options
    if (queue.waiting.size >= maxWaiting) throw new NoTurn('too many wait already')
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiting: Waiting = { start: resolve, since: performance.now() }
    const giveUp = (reason: unknown) => {
      if (queue.waiting.delete(waiting)) reject(reason)
    }
    const onAbort = () => giveUp(signal?.reason)
    const timer = setTimeout(() => giveUp(new NoTurn('waited for too long')), patienceMs)
    signal?.addEventListener('abort', onAbort, { once: true })
    queue.waiting.add(waiting)
    try {
      await promise
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
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
