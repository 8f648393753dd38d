import { setTimeout as sleep } from 'node:timers/promises'
import type { Ledger } from '../ledger/database.ts'
import { inTime } from '../system/in-time.ts'
import { type Place, StorageChanged, verifyPlace } from './places.ts'
import { StorageUnavailable } from './store/objects.ts'

/** How long a start waits for the answer of a bucket. */
const ANSWER_MS = 10_000
/** A bucket may miss an object for a moment. It is the wrong one if it still does after this long. */
const LOOK_AGAIN_MS = 500
/** How long a successful check is valid. */
const BELIEVED_MS = 30_000

/**
 * A place that is verified before anything is read from or written to it: in a wrong place everything would seem lost.
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

  /** `prepare` is called once it is verified, before it is used. */
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

  /**
   * Fails with `StorageChanged` when two checks find that it is the wrong one, and as a storage does that is
   * unavailable.
   */
  async verify(): Promise<void> {
    if (this.#isVerified) return
    if (this.#changed && performance.now() < this.#changed.until) throw this.#changed.error
    this.#verifying ??= this.#verify().finally(() => {
      this.#verifying = undefined
    })
    await this.#verifying
  }

  /** The same for a start, which goes on without an answer. */
  async verifyIfItAnswers(): Promise<void> {
    try {
      await inTime(this.verify(), ANSWER_MS, () => undefined)
    } catch (error) {
      if (error instanceof StorageChanged) throw error
      this.#onError(error)
    }
  }

  /** As `verify`, before use: fails with `StorageUnavailable` where it is the wrong one. */
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
