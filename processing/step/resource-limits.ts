import { Shares } from '../../jobs/shares.ts'

/** What a step uses so much of that few may run at a time: clamd, or the cores that decoding keeps busy. */
export type LimitedResource = 'scan' | 'decode'

type Waiter = { group: string; start: () => void }
type Slots = { free: number; shares: Shares; waiting: Waiter[] }

/**
 * Limits how many steps that use a resource run at a time in this process. First come, first served, except that the long
 * files of one owner leave a slot to others: see `Shares`.
 */
export class ResourceLimits {
  readonly #slots: Record<LimitedResource, Slots>

  constructor(limits: Readonly<Record<LimitedResource, number>>) {
    const slots = (free: number): Slots => ({ free, shares: new Shares(free), waiting: [] })
    this.#slots = { scan: slots(limits.scan), decode: slots(limits.decode) }
  }

  /**
   * Runs `work` when a slot is free. `group` says whose file it is for (`groupOf`). Throws what `work` throws, or the reason
   * of `signal` where that comes first.
   */
  async within<T>(
    resource: LimitedResource,
    group: string,
    signal: AbortSignal,
    work: () => Promise<T>,
  ): Promise<T> {
    const slots = this.#slots[resource]
    const slot = await this.#enter(slots, group, signal)
    try {
      return await work()
    } finally {
      slots.free += 1
      slots.shares.giveBack(slot)
      this.#admit(slots)
    }
  }

  async #enter(slots: Slots, group: string, signal: AbortSignal): Promise<Waiter> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiting = { group, start: resolve }
    const onAbort = () => {
      const index = slots.waiting.indexOf(waiting)
      // It has a slot already.
      if (index < 0) return
      slots.waiting.splice(index, 1)
      reject(signal.reason)
    }
    slots.waiting.push(waiting)
    signal.addEventListener('abort', onAbort, { once: true })
    this.#admit(slots)
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
    return waiting
  }

  #admit(slots: Slots): void {
    while (slots.free > 0) {
      const full = new Set(slots.shares.full())
      const index = slots.waiting.findIndex(({ group }) => !full.has(group))
      const [next] = index < 0 ? [] : slots.waiting.splice(index, 1)
      if (!next) return
      slots.free -= 1
      slots.shares.take(next, next.group)
      next.start()
    }
  }
}
