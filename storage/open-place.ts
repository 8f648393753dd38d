import type { Ledger } from '../ledger/database.ts'
import { StorageAway } from './objects.ts'
import { type Place, StorageChanged, verifyPlace } from './places.ts'

/** How long a start waits for the answer of a bucket. */
const ANSWER_MS = 10_000
const LOOK_AGAIN_MS = 1_000

/**
 * A place of which it is found out whether it is the right one, before anything is read from it or written to it: what
 * is missing in another one would be taken for lost.
 */
export class OpenPlace {
  readonly #db: Ledger
  readonly #place: Place
  readonly #onError: (error: unknown) => void
  #isVerified = false
  #verifying: Promise<void> | undefined
  #changed: StorageChanged | undefined
  #lookAgainAt = 0

  constructor(db: Ledger, place: Place, onError: (error: unknown) => void) {
    this.#db = db
    this.#place = place
    this.#onError = onError
  }

  get isVerified(): boolean {
    return this.#isVerified
  }

  /** Returns when it is the right one. Fails with `StorageChanged`, and as a storage does that is away. */
  async verify(): Promise<void> {
    if (this.#isVerified) return
    if (this.#changed) throw this.#changed
    this.#verifying ??= this.#verify().finally(() => {
      this.#verifying = undefined
    })
    await this.#verifying
  }

  /** The same for a start, which does without the answer. */
  async verifyIfItAnswers(): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ANSWER_MS)
    try {
      await Promise.race([this.verify(), late])
    } catch (error) {
      if (error instanceof StorageChanged) throw error
      this.#onError(error)
    } finally {
      clearTimeout(timer)
    }
  }

  /** Fails with `StorageAway` as long as it is not known to be the right one; then it is looked at now. */
  require(): void {
    if (this.#isVerified) return
    if (!this.#changed && performance.now() >= this.#lookAgainAt) {
      this.#lookAgainAt = performance.now() + LOOK_AGAIN_MS
      this.verify().catch((error: unknown) => {
        if (error instanceof StorageChanged) this.#onError(error)
      })
    }
    throw new StorageAway({ cause: this.#changed ?? new Error('the storage was not recognised yet') })
  }

  async #verify(): Promise<void> {
    try {
      await verifyPlace(this.#db, this.#place)
      this.#isVerified = true
    } catch (error) {
      if (error instanceof StorageChanged) this.#changed = error
      throw error
    }
  }
}
