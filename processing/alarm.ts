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
