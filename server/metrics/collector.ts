import { Registry } from 'prom-client'
import { inTime } from '../../system/in-time.ts'

/** A source of figures. */
export type Collector = {
  /** Its label in `landfall_scrape_errors_total`. */
  name: string
  /** Registers its figures. After a failure there are none. */
  collect(register: Registry): Promise<void>
}

/** Time limit of a collector in a scrape. */
export const COLLECT_MS = 2_000
/** A collector is asked at most once in this time. */
const KEPT_MS = 5_000

/** The figures of a collector as text, at most `KEPT_MS` old; empty where they are not available. */
export class CachedFigures {
  readonly #collector: Collector
  readonly #onError: (collector: string, error: unknown) => void
  #text = ''
  #keptUntil = 0
  #isBusy = false

  constructor(collector: Collector, onError: (collector: string, error: unknown) => void) {
    this.#collector = collector
    this.#onError = onError
  }

  /** Never fails, and answers within `COLLECT_MS`. One call at a time. */
  async text(): Promise<string> {
    if (performance.now() < this.#keptUntil) return this.#text
    try {
      this.#text = await this.#collect()
    } catch (error) {
      this.#text = ''
      this.#onError(this.#collector.name, error)
    }
    this.#keptUntil = performance.now() + KEPT_MS
    return this.#text
  }

  async #collect(): Promise<string> {
    // An abandoned call may still wait for a connection: do not add another.
    if (this.#isBusy) throw new Error('what was asked before is not answered yet')
    this.#isBusy = true
    const register = new Registry()
    const collected = this.#collector.collect(register).finally(() => {
      this.#isBusy = false
    })
    await inTime(collected, COLLECT_MS, () => {
      throw new Error('timed out')
    })
    return await register.metrics()
  }
}
