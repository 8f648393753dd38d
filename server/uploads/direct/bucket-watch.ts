import type { Ledger } from '../../../ledger/database.ts'
import { type DueLook, dueLooks, msUntilLook } from '../../../ledger/direct-uploads.ts'
import type { OwnerId } from '../../../ledger/ids.ts'
import { Problem } from '../../http/errors.ts'
import type { UploadCall } from '../held.ts'
import type { DirectUploads } from './direct-uploads.ts'

export type BucketWatchOptions = {
  db: Ledger
  uploads: Pick<DirectUploads, 'look'>
  onError: (error: unknown) => void
}

/** The longest pause: other processes may have begun uploads, and may be gone. */
const LONGEST_MS = 30_000
/** The shortest, also after a failure. */
const SHORTEST_MS = 1_000
const SIDE_BY_SIDE = 8
/** How long looks that are under way may take to end when the server stops. */
const ENDING_MS = 5_000

/**
 * Asks the bucket for what clients have stored there without telling us, one process for each upload. Several at a time,
 * and one of each owner: one that takes long holds up no other's. Sleeps for as long as the ledger has nothing to look for.
 */
export class BucketWatch {
  readonly #options: BucketWatchOptions
  readonly #closed = new AbortController()
  readonly #running = new Map<OwnerId, Promise<void>>()
  #timer: NodeJS.Timeout | undefined
  /** When the timer is over, by `performance.now()`. */
  #wakesAt = Number.POSITIVE_INFINITY
  #claiming: Promise<void> | undefined

  constructor(options: BucketWatchOptions) {
    this.#options = options
    this.#wakeIn(SHORTEST_MS)
  }

  /** There is a new upload to look for. */
  wake(): void {
    this.#wakeIn(SHORTEST_MS)
  }

  /** Ends the looks that are under way; does not wait for a bucket that is silent. */
  async close(): Promise<void> {
    this.#closed.abort()
    clearTimeout(this.#timer)
    await this.#claiming
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ENDING_MS)
    await Promise.race([Promise.all(this.#running.values()), late])
    clearTimeout(timer)
  }

  /** Or earlier, where that was wanted before: new uploads all the time put nothing off. */
  #wakeIn(ms: number): void {
    const at = performance.now() + ms
    if (this.#closed.signal.aborted || at >= this.#wakesAt) return
    clearTimeout(this.#timer)
    this.#wakesAt = at
    this.#timer = setTimeout(() => {
      this.#wakesAt = Number.POSITIVE_INFINITY
      this.#fill()
    }, ms)
    this.#timer.unref()
  }

  /** Begins as many looks as there are places for, unless that is being done. */
  #fill(): void {
    this.#claiming ??= this.#claim().finally(() => {
      this.#claiming = undefined
    })
  }

  async #claim(): Promise<void> {
    const { db, onError } = this.#options
    try {
      const places = SIDE_BY_SIDE - this.#running.size
      // The first that ends wakes us.
      if (places === 0) return
      const due = await dueLooks(db, places, [...this.#running.keys()])
      for (const one of due) this.#begin(one)
      const nextMs = await msUntilLook(db)
      this.#wakeIn(Math.min(Math.max(nextMs ?? LONGEST_MS, SHORTEST_MS), LONGEST_MS))
    } catch (error) {
      onError(error)
      this.#wakeIn(LONGEST_MS)
    }
  }

  #begin(one: DueLook): void {
    const look = this.#lookAt(one).finally(() => {
      this.#running.delete(one.ownerId)
      this.#wakeIn(0)
    })
    this.#running.set(one.ownerId, look)
  }

  async #lookAt({ id, ownerId, formKey }: DueLook): Promise<void> {
    const { uploads, onError } = this.#options
    const closed = this.#closed.signal
    if (closed.aborted) return
    const call: UploadCall = {
      ownerId,
      attachable: undefined,
      ticket: undefined,
      uploadId: id,
      requestId: 'bucket-watch',
      over: closed,
      onLeaseWait: () => {},
      inOwnerTurn: (work) => work(),
    }
    try {
      await uploads.look(call, formKey)
    } catch (error) {
      // A client would be told of it. Here it was the end of the upload, or the bucket is asked again.
      if (!(error instanceof Problem) && !closed.aborted) onError(error)
    }
  }
}
