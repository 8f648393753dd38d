import { setTimeout as sleep } from 'node:timers/promises'
import type { Ledger } from '../ledger/database.ts'
import { type Place, StorageChanged, verifyPlace } from './places.ts'
import { StorageUnavailable } from './store/objects.ts'

/** How long a start waits for the answer of a bucket. */
const ANSWER_MS = 10_000
/** A bucket may say for a moment that it lacks what it has. It is another one when it says so again after this long. */
const LOOK_AGAIN_MS = 500
/** How long that is believed. */
const BELIEVED_MS = 30_000

/**
 * A place of which it is found out whether it is the right one, before anything is read from it or written to it: what
 * is missing in another one would be taken for lost.
 */
export class OpenPlace {
  readonly #db: Ledger
  readonly #place: Place
  readonly #onError: (error: unknown) => void
  readonly #prepare: () => Promise<void>
  #isVerified = false
  #verifying: Promise<void> | undefined
  #changed: { error: StorageChanged; until: number } | undefined
  #isTold = false

  /** `prepare` is called when it is known to be the right one, before it is used. */
  constructor(
    db: Ledger,
    place: Place,
    { onError, prepare }: { onError: (error: unknown) => void; prepare: () => Promise<void> },
  ) {
    this.#db = db
    this.#place = place
    this.#onError = onError
    this.#prepare = prepare
  }

  get isVerified(): boolean {
    return this.#isVerified
  }

  /** Returns when it is the right one. Fails with `StorageChanged` when two looks say that it is not, and as a storage does that is away. */
  async verify(): Promise<void> {
    if (this.#isVerified) return
    if (this.#changed && performance.now() < this.#changed.until) throw this.#changed.error
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

  /** As `verify`, before it is used: fails with `StorageUnavailable` where it is not the right one. */
  async checkUsable(): Promise<void> {
    if (this.#isVerified) return
    await this.verify().catch((error: unknown) => {
      if (!(error instanceof StorageChanged)) throw error
      if (!this.#isTold) this.#onError(error)
      this.#isTold = true
      throw new StorageUnavailable({ cause: error })
    })
  }

  async #verify(): Promise<void> {
    try {
      await this.#look()
    } catch (error) {
      if (error instanceof StorageChanged) {
        this.#changed = { error, until: performance.now() + BELIEVED_MS }
      }
      throw error
    }
    await this.#prepare()
    this.#isVerified = true
  }

  async #look(): Promise<void> {
    try {
      return await verifyPlace(this.#db, this.#place)
    } catch (error) {
      if (!(error instanceof StorageChanged)) throw error
    }
    await sleep(LOOK_AGAIN_MS)
    await verifyPlace(this.#db, this.#place)
  }
}
