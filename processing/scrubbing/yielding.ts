import { setImmediate } from 'node:timers/promises'

const TURN_MS = 20

/** Yields to the event loop after each 20 ms of work, and stops when the signal is aborted. */
export class Yielder {
  readonly #signal: AbortSignal
  #since = performance.now()

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  /** Whether 20 ms are over; then `pass` is to be awaited. */
  get isOver(): boolean {
    return performance.now() - this.#since >= TURN_MS
  }

  async pass(): Promise<void> {
    await setImmediate()
    this.#signal.throwIfAborted()
    this.#since = performance.now()
  }

  /** Runs work to its end, yielding when needed. */
  async through(work: Iterable<unknown>): Promise<void> {
    for (const _ of work) if (this.isOver) await this.pass()
  }
}
