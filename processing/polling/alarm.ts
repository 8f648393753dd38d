/** Wakes one sleeper; a ring while nobody sleeps is heard by the next to come. */
export class Alarm {
  #rung = Promise.withResolvers<void>()

  ring(): void {
    this.#rung.resolve()
  }

  /** Resolves when it rings, after `ms` at the latest; without `ms`, only then. */
  async within(ms?: number): Promise<void> {
    const timer = ms === undefined ? undefined : setTimeout(() => this.ring(), ms)
    await this.#rung.promise
    clearTimeout(timer)
    this.#rung = Promise.withResolvers<void>()
  }
}

/** A bell that many press: it rings at once, and then once for all presses of each `everyMs`. */
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

  /** Rings no more. */
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
