import { setImmediate } from 'node:timers/promises'

const TURN_MS = 20

/** Lets others have their turn each 20 ms of work, and ends the work when the signal does. */
export class Yielder {
  readonly #signal: AbortSignal
  #since = performance.now()

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  /** Whether a turn is over; then `pass` is to be awaited. */
  get isOver(): boolean {
    return performance.now() - this.#since >= TURN_MS
  }

  async pass(): Promise<void> {
    await setImmediate()
    this.#signal.throwIfAborted()
    this.#since = performance.now()
  }

  /** Does work that yields now and then. */
  async through(work: Iterable<unknown>): Promise<void> {
    for (const _ of work) if (this.isOver) await this.pass()
  }
}
