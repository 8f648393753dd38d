/** Kinds of work inside a processing job, each with a limit of its own. */
export type Lane = 'scan' | 'decode'

/** Lets so much work of a kind run at a time in this process, first come first served. */
export class Lanes {
  readonly #free: Record<Lane, number>
  readonly #waiting: Record<Lane, (() => void)[]> = { scan: [], decode: [] }

  constructor(limits: Readonly<Record<Lane, number>>) {
    this.#free = { scan: limits.scan, decode: limits.decode }
  }

  /** Does `work` when there is room for it. Throws what it throws, or the reason of `signal` when that comes first. */
  async within<T>(lane: Lane, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#enter(lane, signal)
    try {
      return await work()
    } finally {
      const next = this.#waiting[lane].shift()
      if (next) next()
      else this.#free[lane] += 1
    }
  }

  async #enter(lane: Lane, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#free[lane] > 0) {
      this.#free[lane] -= 1
      return
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiting = this.#waiting[lane]
    const onAbort = () => {
      const index = waiting.indexOf(resolve)
      // Its turn has come already.
      if (index < 0) return
      waiting.splice(index, 1)
      reject(signal.reason)
    }
    waiting.push(resolve)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}
