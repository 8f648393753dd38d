/** A request whose holder is asked to let go has this long to store what is on its way. */
const DRAIN_MS = 250

/** What ends the work of a request on an upload: the request is over, or somebody else wants the lease. */
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

  /** When what is on its way has had time to be stored. */
  endSoon(): void {
    this.#drain ??= setTimeout(this.end, DRAIN_MS)
  }

  /** The work is done. */
  close(): void {
    clearTimeout(this.#drain)
    this.#over.removeEventListener('abort', this.end)
  }
}
