const BEAT_MS = 500

/** Notices when the event loop is blocked. The caller closes it. */
export class EventLoopWatch {
  readonly #timer: NodeJS.Timeout
  #beatAt = performance.now()
  #stood: { ms: number; at: number } | undefined

  constructor() {
    this.#timer = setInterval(() => this.#beat(), BEAT_MS).unref()
  }

  /** The longest block that ended within the last `withinMs`, or still lasts, in milliseconds. */
  standstillMs(withinMs: number): number {
    // A request may be answered before the late timer.
    this.#note()
    return this.#stood && performance.now() - this.#stood.at < withinMs ? this.#stood.ms : 0
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #beat(): void {
    this.#note()
    this.#beatAt = performance.now()
  }

  #note(): void {
    const now = performance.now()
    const ms = now - this.#beatAt - BEAT_MS
    const isWorse = this.#stood === undefined || ms >= this.#stood.ms || now - this.#stood.at > BEAT_MS * 20
    if (ms > BEAT_MS && isWorse) this.#stood = { ms, at: now }
  }
}
