/** Wakes one waiting loop. A ring while nobody waits is kept for the next wait. */
export class Alarm {
  #rung = Promise.withResolvers<void>()

  ring(): void {
    this.#rung.resolve()
  }

  /** Resolves when it rings, or after `ms` milliseconds where that is given. */
  async within(ms?: number): Promise<void> {
    const timer = ms === undefined ? undefined : setTimeout(() => this.ring(), ms)
    await this.#rung.promise
    clearTimeout(timer)
    this.#rung = Promise.withResolvers<void>()
  }
}

/** Rings at the first press, and then at most once every `everyMs`, however often it is pressed. */
export class Doorbell {
  readonly #ring: () => void
  readonly #everyMs: number
  #quiet: NodeJS.Timeout | undefined
  #isPressed = false

  constructor(ring: () => void, everyMs: number) {
    this.#ring = ring
    this.#everyMs = everyMs
  }

  press(): void {
    this.#isPressed = true
    if (this.#quiet === undefined) this.#next()
  }

  close(): void {
    clearTimeout(this.#quiet)
    this.#isPressed = false
  }

  #next(): void {
    this.#quiet = undefined
    if (!this.#isPressed) return
    this.#isPressed = false
    this.#quiet = setTimeout(() => this.#next(), this.#everyMs)
    this.#ring()
  }
}
