import { Registry } from 'prom-client'

/** Somebody who is asked for figures when they are wanted. */
export type Collector = {
  /** As `landfall_scrape_errors_total` names it. */
  name: string
  /** Registers its figures. Where it fails, there are none. */
  collect(register: Registry): Promise<void>
}

/** How long a scrape waits for a collector. */
export const COLLECT_MS = 2_000
/** However many scrape, and however often, the collaborators behind a collector are asked once in this time. */
const KEPT_MS = 5_000

/** The figures of a collector as text, as old as `KEPT_MS` at most; none where they could not be had. */
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

  /** Never fails, and answers within `COLLECT_MS`. Not to be called again before it has answered. */
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
    // What was given up may still wait for a connection: those are there for uploads.
    if (this.#isBusy) throw new Error('what was asked before is not answered yet')
    this.#isBusy = true
    const register = new Registry()
    const collected = this.#collector.collect(register).finally(() => {
      this.#isBusy = false
    })
    await inTime(collected)
    return await register.metrics()
  }
}

async function inTime(work: Promise<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error('timed out')), COLLECT_MS)
  try {
    await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
  }
}
