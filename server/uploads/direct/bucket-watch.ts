import type { Ledger } from '../../../ledger/database.ts'
import { type DueLook, dueLooks, msUntilLook } from '../../../ledger/direct-uploads.ts'
import type { OwnerId } from '../../../ledger/ids.ts'
import { inTime } from '../../../system/in-time.ts'
import { Problem } from '../../http/errors.ts'
import type { UploadCall } from '../held.ts'
import type { DirectUploads } from './direct-uploads.ts'

export type BucketWatchOptions = {
  db: Ledger
  uploads: Pick<DirectUploads, 'look' | 'complete'>
  /** Removes what is left of probes of links. */
  sweepProbes: () => Promise<void>
  onError: (error: unknown) => void
}

/** The longest pause: other processes may have begun uploads, and may be gone. */
const LONGEST_MS = 30_000
/** The shortest, also after a failure. */
const SHORTEST_MS = 1_000
/** Of looks, and apart from them of completions: those copy files, which can take long. */
const SIDE_BY_SIDE = 8
const NO_CLIENT = { address: null, userAgent: null, origin: null }
/** How long what is under way may take to end when the server stops. */
const ENDING_MS = 5_000

/**
 * Asks the bucket for what clients have stored there without telling us, one process for each upload, and completes what
 * it finds. Several at a time, and one of each owner: one that takes long holds up no other's. Sleeps for as long as the
 * ledger has nothing to look for.
 */
export class BucketWatch {
  readonly #options: BucketWatchOptions
  readonly #closed = new AbortController()
  readonly #looks = new Map<OwnerId, Promise<void>>()
  readonly #completions = new Map<OwnerId, Promise<void>>()
  #timer: NodeJS.Timeout | undefined
  /** When the timer is over, by `performance.now()`. */
  #wakesAt = Number.POSITIVE_INFINITY
  #claiming: Promise<void> | undefined
  /** When probes are swept next, by `performance.now()`. */
  #sweepsAt = 0
  #sweeping: Promise<void> | undefined

  constructor(options: BucketWatchOptions) {
    this.#options = options
    this.#wakeIn(SHORTEST_MS)
  }

  /** There is a new upload to look for. */
  wake(): void {
    this.#wakeIn(SHORTEST_MS)
  }

  /** Ends what is under way; does not wait for a bucket that is silent. */
  async close(): Promise<void> {
    this.#closed.abort()
    clearTimeout(this.#timer)
    await this.#claiming
    const ends = [this.#sweeping, ...this.#looks.values(), ...this.#completions.values()]
    await inTime(Promise.all(ends), ENDING_MS, () => {})
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
      const places = SIDE_BY_SIDE - this.#looks.size
      // The first that ends wakes us.
      if (places === 0) return
      const due = await dueLooks(db, places, [...this.#looks.keys()])
      for (const one of due) this.#look(one)
      const nextMs = await msUntilLook(db)
      this.#sweep()
      this.#wakeIn(Math.min(Math.max(nextMs ?? LONGEST_MS, SHORTEST_MS), LONGEST_MS))
    } catch (error) {
      onError(error)
      this.#wakeIn(LONGEST_MS)
    }
  }

  /** Beside the looks: a bucket that is silent holds up none. */
  #sweep(): void {
    if (this.#sweeping || performance.now() < this.#sweepsAt) return
    this.#sweepsAt = performance.now() + LONGEST_MS
    this.#sweeping = this.#whileOpen(this.#options.sweepProbes).finally(() => {
      this.#sweeping = undefined
    })
  }

  #look(one: DueLook): void {
    const { uploads } = this.#options
    const look = this.#whileOpen(async () => {
      if (await uploads.look(this.#callFor(one), one)) this.#complete(one)
    }).finally(() => {
      this.#looks.delete(one.ownerId)
      this.#wakeIn(0)
    })
    this.#looks.set(one.ownerId, look)
  }

  /** Where there is no place, it is found again at the next look. */
  #complete(one: DueLook): void {
    const { uploads } = this.#options
    const { ownerId } = one
    if (this.#completions.has(ownerId) || this.#completions.size >= SIDE_BY_SIDE) return
    const end = this.#whileOpen(async () => {
      await uploads.complete(this.#callFor(one))
    }).finally(() => {
      this.#completions.delete(ownerId)
    })
    this.#completions.set(ownerId, end)
  }

  async #whileOpen(work: () => Promise<void>): Promise<void> {
    const closed = this.#closed.signal
    try {
      if (!closed.aborted) await work()
    } catch (error) {
      // A client would be told of it. Here it was the end of the upload, or the bucket is asked again.
      if (!(error instanceof Problem) && !closed.aborted) this.#options.onError(error)
    }
  }

  #callFor({ id, ownerId }: DueLook): UploadCall {
    return {
      ownerId,
      attachable: undefined,
      ticket: undefined,
      client: NO_CLIENT,
      uploadId: id,
      requestId: 'bucket-watch',
      over: this.#closed.signal,
      onLeaseWait: () => {},
      inOwnerTurn: (work) => work(),
    }
  }
}
