import { Shares } from '../../jobs/shares.ts'

/** Kinds of work inside a processing job, each with a limit of its own. */
export type Lane = 'scan' | 'decode'

type Waiting = { group: string; start: () => void }
type Places = { free: number; shares: Shares; waiting: Waiting[] }

/**
 * Lets so much work of a kind run at a time in this process, first come first served, except that the long files of one
 * owner leave a place to others: see `Shares`.
 */
export class Lanes {
  readonly #places: Record<Lane, Places>

  constructor(limits: Readonly<Record<Lane, number>>) {
    const places = (free: number): Places => ({ free, shares: new Shares(free), waiting: [] })
    this.#places = { scan: places(limits.scan), decode: places(limits.decode) }
  }

  /**
   * Does `work` when there is room for it. `group` says whose file it is for (`groupOf`). Throws what it throws, or the
   * reason of `signal` when that comes first.
   */
  async within<T>(lane: Lane, group: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const places = this.#places[lane]
    const place = await this.#enter(places, group, signal)
    try {
      return await work()
    } finally {
      places.free += 1
      places.shares.giveBack(place)
      this.#admit(places)
    }
  }

  async #enter(places: Places, group: string, signal: AbortSignal): Promise<Waiting> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiting = { group, start: resolve }
    const onAbort = () => {
      const index = places.waiting.indexOf(waiting)
      // Its turn has come already.
      if (index < 0) return
      places.waiting.splice(index, 1)
      reject(signal.reason)
    }
    places.waiting.push(waiting)
    signal.addEventListener('abort', onAbort, { once: true })
    this.#admit(places)
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
    return waiting
  }

  #admit(places: Places): void {
    while (places.free > 0) {
      const full = new Set(places.shares.full())
      const index = places.waiting.findIndex(({ group }) => !full.has(group))
      const [next] = index < 0 ? [] : places.waiting.splice(index, 1)
      if (!next) return
      places.free -= 1
      places.shares.take(next, next.group)
      next.start()
    }
  }
}
