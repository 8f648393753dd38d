import type { Ledger } from '../../../ledger/database.ts'
import { type DueLook, dueLooks, msUntilLook } from '../../../ledger/direct-uploads.ts'
import { inParallel } from '../../../system/in-parallel.ts'
import { Problem } from '../../http/errors.ts'
import type { UploadCall } from '../held.ts'
import type { DirectUploads } from './direct-uploads.ts'

export type BucketWatchOptions = { db: Ledger; uploads: DirectUploads; onError: (error: unknown) => void }

/** The longest pause: other processes may have begun uploads, and may be gone. */
const LONGEST_MS = 30_000
/** The shortest, also after a failure. */
const SHORTEST_MS = 1_000
/** Per round; more are left to the next, and to other processes. */
const LOOKS = 50
const SIDE_BY_SIDE = 4

/**
 * Asks the bucket for what clients have stored there without telling us, one process for each upload. Sleeps for as long
 * as the ledger has nothing to look for.
 */
export class BucketWatch {
  readonly #options: BucketWatchOptions
  readonly #closed = new AbortController()
  #timer: NodeJS.Timeout | undefined
  /** When the timer is over, by `performance.now()`. */
  #wakesAt = Number.POSITIVE_INFINITY
  #round: Promise<void> = Promise.resolve()

  constructor(options: BucketWatchOptions) {
    this.#options = options
    this.#wakeIn(SHORTEST_MS)
  }

  /** There is a new upload to look for. */
  wake(): void {
    this.#wakeIn(SHORTEST_MS)
  }

  /** Waits for the looks that are under way. */
  async close(): Promise<void> {
    this.#closed.abort()
    clearTimeout(this.#timer)
    await this.#round
  }

  /** Or earlier, where that was wanted before: new uploads all the time put nothing off. */
  #wakeIn(ms: number): void {
    const at = performance.now() + ms
    if (this.#closed.signal.aborted || at >= this.#wakesAt) return
    clearTimeout(this.#timer)
    this.#wakesAt = at
    this.#timer = setTimeout(() => {
      this.#wakesAt = Number.POSITIVE_INFINITY
      this.#round = this.#round.then(() => this.#look())
    }, ms)
    this.#timer.unref()
  }

  async #look(): Promise<void> {
    const { db, onError } = this.#options
    try {
      const due = await dueLooks(db, LOOKS)
      await inParallel(due, SIDE_BY_SIDE, (one) => this.#lookAt(one))
      const nextMs = await msUntilLook(db)
      this.#wakeIn(Math.min(Math.max(nextMs ?? LONGEST_MS, SHORTEST_MS), LONGEST_MS))
    } catch (error) {
      onError(error)
      this.#wakeIn(LONGEST_MS)
    }
  }

  async #lookAt({ id, ownerId, formKey }: DueLook): Promise<void> {
    const { uploads, onError } = this.#options
    if (this.#closed.signal.aborted) return
    const call: UploadCall = {
      ownerId,
      attachable: undefined,
      ticket: undefined,
      uploadId: id,
      requestId: 'bucket-watch',
      over: this.#closed.signal,
      onLeaseWait: () => {},
      inOwnerTurn: (work) => work(),
    }
    try {
      await uploads.look(call, formKey)
    } catch (error) {
      // A client would be told of it. Here it was the end of the upload, or the bucket is asked again.
      if (!(error instanceof Problem)) onError(error)
    }
  }
}
