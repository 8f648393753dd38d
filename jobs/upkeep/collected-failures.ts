/** Runs several pieces of work, each whatever became of the others, and throws their failures at the end. */
export class CollectedFailures {
  readonly #failures: unknown[] = []

  /** Returns the result, or `otherwise` after a failure. */
  async attempt<T>(work: () => Promise<T>, otherwise: T): Promise<T> {
    try {
      return await work()
    } catch (error) {
      this.add(error)
      return otherwise
    }
  }

  add(error: unknown): void {
    // One flat list, however deeply failures are nested.
    if (error instanceof AggregateError) this.#failures.push(...error.errors)
    else this.#failures.push(error)
  }

  /** Throws a single failure as it is, and several as an `AggregateError` with this message. */
  throwAny(message: string): void {
    if (this.#failures.length > 1) throw new AggregateError(this.#failures, message)
    if (this.#failures.length === 1) throw this.#failures[0]
  }
}
