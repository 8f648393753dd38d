import { randomUUID } from 'node:crypto'
import type { Bus } from './bus.ts'
import type { Ledger } from './database.ts'
import type { OwnerId, UploadId } from './ids.ts'
import { releaseLease, renewLeases, takeLease } from './leases.ts'
import { withOwnerShare } from './owner-share.ts'

export type LeaseKeeperOptions = {
  db: Ledger
  /** Renews on connections of its own with `PROMPT_DEADLINES`: leases are kept, whatever the pool is busy with. */
  renewals: Ledger
  bus: Pick<Bus, 'publish' | 'onMessage' | 'onReconnected'>
  /** Identifies this process in the lease rows. */
  holder: string
  /** Lifetime of a lease without renewal. */
  ttlMs: number
  /** How long a request may keep a lease after its client has left; half a minute by default. */
  lingerMs?: number
  onError: (error: unknown) => void
}

/** Bytes that have arrived are stored without the client. A slow bucket gets several attempts in this time. */
const LINGER_MS = 30_000

/** A lease whose row was locked is renewed again after this fraction of its lifetime. */
const AGAIN_PARTS = 20

export type TakeOptions = {
  uploadId: UploadId
  ownerId: OwnerId
  /** How long to wait for the holder. */
  waitMs: number
  /** Stops waiting when aborted: the request is over. */
  signal: AbortSignal
  /** Aborted when the request is answered or its client has left: the lease then ends in a bounded time. */
  over: AbortSignal
  /** Called before each wait for a holder. */
  onWait?: (() => void) | undefined
  /** Called once, when another request wants the lease or the lease is lost. */
  onWanted: () => void
}

/** Why no lease was taken. `busy`: the holder did not release it in time. */
export type LeaseRefusal = 'busy' | 'absent' | 'aborted'

/**
 * The right to append to one upload. Every commit carries the fence; a commit with an outdated fence changes nothing.
 */
export class Lease {
  readonly uploadId: UploadId
  readonly fence: string
  /** Set by the keeper: monotonic milliseconds until which nobody else can have taken the lease. */
  validUntil: number
  released = false

  constructor(uploadId: UploadId, fence: string, validUntil: number) {
    this.uploadId = uploadId
    this.fence = fence
    this.validUntil = validUntil
  }

  /** Whether nobody else can be writing, now and for `marginMs`. If false, not a byte more may go to the storage. */
  isCurrent(marginMs = 0): boolean {
    return !this.released && performance.now() + marginMs < this.validUntil
  }
}

type Held = { lease: Lease; ownerId: OwnerId; wanted: () => void }

/**
 * The leases of one process. It takes them, renews all of them with one statement, tells holders that another request
 * wants a lease, and wakes waiting requests when a lease is released anywhere. Waiting uses notifications and one timer
 * for the holder's expiry; it does not poll.
 */
export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions
  readonly #held = new Map<string, Held>()
  readonly #waiters = new Map<string, Set<() => void>>()
  readonly #timer: NodeJS.Timeout
  readonly #unsubscribe: (() => void)[]
  #isRenewing = false
  #isDue = false
  #again: NodeJS.Timeout | undefined

  constructor(options: LeaseKeeperOptions) {
    this.#options = options
    this.#timer = setInterval(() => void this.#renew(), options.ttlMs / 3).unref()
    this.#unsubscribe = [
      options.bus.onMessage((message) => {
        if (message.t === 'lease-wanted') this.#passOn(message.id)
        else if (message.t === 'lease-released') this.#wake(message.id)
      }),
      options.bus.onReconnected(() => {
        for (const id of this.#waiters.keys()) this.#wake(id)
        // A database that crashed has lost the leases: find out before writing on.
        void this.#renew()
      }),
    ]
  }

  /**
   * Takes the lease; where it is held, asks the holder to release it and waits. Only the owner of an upload can take
   * it, so nobody else can interrupt an upload.
   */
  async take(options: TakeOptions): Promise<Lease | LeaseRefusal> {
    const { uploadId, ownerId, signal } = options
    const { db, bus, holder, ttlMs } = this.#options
    const deadline = performance.now() + options.waitMs
    const fence = randomUUID()
    while (!signal.aborted) {
      // Listen before asking, so that a release in between is not missed.
      const woken = this.#listen(uploadId)
      try {
        const askedAt = performance.now()
        const result = await takeLease(db, { uploadId, ownerId, holder, fence, ttlMs })
        if (result.kind === 'absent') return 'absent'
        if (result.kind === 'taken') {
          const lease = new Lease(uploadId, fence, askedAt + ttlMs)
          this.#held.set(fence, { lease, ownerId, wanted: options.onWanted })
          this.#endAfter(options.over, lease)
          return lease
        }
        const leftMs = deadline - performance.now()
        if (leftMs <= 0) return 'busy'
        options.onWait?.()
        await bus.publish({ t: 'lease-wanted', id: uploadId })
        await woken.wait(Math.min(leftMs, result.expiresInMs + 1), signal)
      } finally {
        woken.stop()
      }
    }
    return 'aborted'
  }

  /** Releases the lease, unless an append already did. Never throws. */
  async release(lease: Lease): Promise<void> {
    if (lease.released) return
    // It is not renewed any more: without an answer of the database it expires by itself.
    lease.released = true
    const { db } = this.#options
    const ownerId = this.#held.get(lease.fence)?.ownerId
    this.#held.delete(lease.fence)
    try {
      const own = ownerId === undefined ? db : withOwnerShare(db, ownerId)
      const contended = await releaseLease(own, lease.uploadId, lease.fence)
      this.releasedWithAppend(lease, contended)
    } catch (error) {
      this.#options.onError(error)
    }
  }

  /** Notes that the request's last append has already released the lease in the ledger. */
  releasedWithAppend(lease: Lease, contended: boolean): void {
    lease.released = true
    this.#held.delete(lease.fence)
    if (contended) void this.#options.bus.publish({ t: 'lease-released', id: lease.uploadId })
  }

  /** Asks every request that holds a lease here to finish: used when draining. */
  askAllToRelease(): void {
    for (const { wanted } of this.#held.values()) wanted()
  }

  close(): void {
    clearInterval(this.#timer)
    clearTimeout(this.#again)
    for (const stop of this.#unsubscribe) stop()
  }

  /**
   * Releases the lease of a request that hangs after its client has left, so that it does not block the upload for
   * ever. Nothing that it still does counts then.
   */
  #endAfter(over: AbortSignal, lease: Lease): void {
    const { lingerMs = LINGER_MS, onError } = this.#options
    const wait = () => {
      if (lease.released) return
      setTimeout(() => {
        if (lease.released) return
        onError(
          new Error(
            `a request to ${lease.uploadId} did not end after its client had left: its lease was ended`,
          ),
        )
        this.#held.get(lease.fence)?.wanted()
        void this.release(lease)
      }, lingerMs).unref()
    }
    if (over.aborted) wait()
    else over.addEventListener('abort', wait, { once: true })
  }

  #passOn(uploadId: string): void {
    for (const { lease, wanted } of this.#held.values()) if (lease.uploadId === uploadId) wanted()
  }

  #wake(uploadId: string): void {
    for (const wake of this.#waiters.get(uploadId) ?? []) wake()
  }

  #listen(uploadId: UploadId) {
    const { promise, resolve } = Promise.withResolvers<void>()
    const waiters = this.#waiters.get(uploadId) ?? new Set()
    waiters.add(resolve)
    this.#waiters.set(uploadId, waiters)
    return {
      async wait(ms: number, signal: AbortSignal): Promise<void> {
        const timer = setTimeout(resolve, ms)
        const onAbort = () => resolve()
        signal.addEventListener('abort', onAbort, { once: true })
        await promise
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
      },
      stop: () => {
        waiters.delete(resolve)
        if (waiters.size === 0 && this.#waiters.get(uploadId) === waiters) this.#waiters.delete(uploadId)
      },
    }
  }

  /** Renews all leases, one renewal at a time; again at once where that failed after a full interval. */
  async #renew(): Promise<void> {
    if (this.#isRenewing) {
      this.#isDue = true
      return
    }
    this.#isRenewing = true
    try {
      do this.#isDue = false
      while (!(await this.#renewThese([...this.#held.values()])) && this.#isDue)
    } finally {
      this.#isRenewing = false
    }
  }

  async #renewThese(held: readonly Held[]): Promise<boolean> {
    if (held.length === 0) return true
    const askedAt = performance.now()
    try {
      const leases = held.map(({ lease }) => lease)
      const { renewed, skipped } = await renewLeases(this.#options.renewals, leases, this.#options.ttlMs)
      this.#tryAgain(held.filter(({ lease }) => skipped.has(lease.fence)))
      for (const { lease, wanted } of held) {
        if (skipped.has(lease.fence)) continue
        const row = renewed.get(lease.fence)
        lease.validUntil = row ? askedAt + this.#options.ttlMs : 0
        // Also covers a lost notification.
        if (!lease.released && (!row || row.contended)) wanted()
      }
      return true
    } catch (error) {
      // Each lease ends by itself when its time is over.
      this.#options.onError(error)
      return false
    }
  }

  /** A commit of an append locks the row for a moment: it is renewed after that. */
  #tryAgain(held: readonly Held[]): void {
    if (held.length === 0) return
    clearTimeout(this.#again)
    this.#again = setTimeout(() => {
      void this.#renewThese(held.filter(({ lease }) => !lease.released))
    }, this.#options.ttlMs / AGAIN_PARTS).unref()
  }
}
