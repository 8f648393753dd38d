/**
 * Gives each of several pieces of work its turn, whatever became of those before, and throws at the end what they failed
 * of.
 */
export class CollectedFailures {
  readonly #failures: unknown[] = []

  /** Does a piece of work. Returns its result, or `otherwise` when it failed. */
  async attempt<T>(work: () => Promise<T>, otherwise: T): Promise<T> {
    try {
      return await work()
    } catch (error) {
      this.add(error)
      return otherwise
    }
  }

  add(error: unknown): void {
    // One list of what failed, however many levels have collected.
    if (error instanceof AggregateError) this.#failures.push(...error.errors)
    else this.#failures.push(error)
  }

  /** Throws a single failure as it is, and several as an `AggregateError` with this message. */
  throwAny(message: string): void {
    if (this.#failures.length > 1) throw new AggregateError(this.#failures, message)
    if (this.#failures.length === 1) throw this.#failures[0]
  }
}
