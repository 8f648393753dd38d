/** Time for a request whose lease is wanted to store pending bytes. */
const DRAIN_MS = 250

/** Ends the work of a request on an upload: the request is over, or another one wants the lease. */
export class Ending {
  readonly #controller = new AbortController()
  readonly #over: AbortSignal
  #drain: NodeJS.Timeout | undefined

  constructor(over: AbortSignal) {
    this.#over = over
    over.addEventListener('abort', this.end, { once: true })
    if (over.aborted) this.end()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  readonly end = (): void => this.#controller.abort()

  /** After the time for pending bytes. */
  endSoon(): void {
    this.#drain ??= setTimeout(this.end, DRAIN_MS)
  }

  /** The work is done. */
  close(): void {
    clearTimeout(this.#drain)
    this.#over.removeEventListener('abort', this.end)
  }
}
