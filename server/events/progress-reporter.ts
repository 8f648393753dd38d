import type { Bus, ProgressTick } from '../../ledger/bus.ts'

const FLUSH_MS = 250
/** Ticks per message: each is below 85 bytes, and Postgres takes 8000 bytes. */
const TICKS_PER_MESSAGE = 90

/**
 * Collects the progress of this node's uploads and publishes it four times a second, in one message for all; nothing
 * without progress.
 */
export class ProgressReporter {
  readonly #bus: Bus
  readonly #latest = new Map<string, ProgressTick>()
  #timer: NodeJS.Timeout | undefined

  constructor(bus: Bus) {
    this.#bus = bus
  }

  /**
   * Notes the bytes received of an upload, its size (null while deferred), and the offset at which its request began. A
   * request that has lost the upload changes nothing of a later one.
   */
  tick(uploadId: string, offset: number, size: number | null, from: number): void {
    const [, , , laterFrom = 0] = this.#latest.get(uploadId) ?? []
    if (from < laterFrom) return
    this.#latest.set(uploadId, [uploadId, offset, size, from])
    this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS).unref()
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  #flush(): void {
    this.#timer = undefined
    const ticks = [...this.#latest.values()]
    this.#latest.clear()
    for (let i = 0; i < ticks.length; i += TICKS_PER_MESSAGE) {
      void this.#bus.publish({ t: 'progress', ticks: ticks.slice(i, i + TICKS_PER_MESSAGE) })
    }
  }
}
