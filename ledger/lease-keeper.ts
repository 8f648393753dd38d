import { randomUUID } from 'node:crypto'
import type { Bus } from './bus.ts'
import type { Ledger } from './database.ts'
import type { OwnerId, UploadId } from './ids.ts'
import { releaseLease, renewLeases, takeLease } from './leases.ts'
import { withOwnerShare } from './owner-share.ts'

export type LeaseKeeperOptions = {
  db: Ledger
  /**
   * Renews on connections of its own, which fail soon when there is no answer (`PROMPT_DEADLINES`): whatever the pool is
   * busy with, a lease that is held stays held.
   */
  renewals: Ledger
  bus: Pick<Bus, 'publish' | 'onMessage' | 'onReconnected'>
  /** Names this process in the lease rows. */
  holder: string
  /** How long a lease lives without renewal. */
  ttlMs: number
  /** How long a request may keep a lease after its client has left; half a minute where nothing is said. */
  lingerMs?: number
  onError: (error: unknown) => void
}

/** What has arrived of a body is stored without its client. A bucket that is slow gets some tries in this time. */
const LINGER_MS = 30_000

/** After this part of a lease's life it is tried again to renew one whose row was locked. */
const AGAIN_PARTS = 20

export type TakeOptions = {
  uploadId: UploadId
  ownerId: OwnerId
  /** Gives up waiting for the holder after this long. */
  waitMs: number
  /** Gives up when the request that wants the lease is over. */
  signal: AbortSignal
  /** Aborted when the request is answered or its client has left: then the lease ends too, in a bounded time. */
  over: AbortSignal
  /** Called before each wait for a present holder. */
  onWait?: (() => void) | undefined
  /** Called once, when another request asks for the lease or the lease is lost. */
  onWanted: () => void
}

/** Why no lease was had. `busy`: the holder did not let go in time. */
export type LeaseRefusal = 'busy' | 'absent' | 'aborted'

/**
 * A right to append to one upload. The fence goes into every commit; a commit whose fence is no
 * longer in the ledger changes nothing.
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

  /**
   * False once another holder may be writing: then not a byte more may go to storage. Nor where that may be so in
   * `marginMs`.
   */
  isCurrent(marginMs = 0): boolean {
    return !this.released && performance.now() + marginMs < this.validUntil
  }
}

type Held = { lease: Lease; ownerId: OwnerId; wanted: () => void }

/**
 * The leases of one process: takes them, renews all of them with one statement, passes on the wish
 * of a contender, and wakes contenders here when a holder anywhere releases its lease. Waiting is by
 * notification, with one timer for the holder's expiry: nothing polls.
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
        // A database that crashed has forgotten the leases: find out before writing on.
        void this.#renew()
      }),
    ]
  }

  /**
   * Takes the lease, asking a present holder to let go and waiting for it. Only the upload's owner
   * can take it, so nobody else can interrupt an upload.
   */
  async take(options: TakeOptions): Promise<Lease | LeaseRefusal> {
    const { uploadId, ownerId, signal } = options
    const { db, bus, holder, ttlMs } = this.#options
    const deadline = performance.now() + options.waitMs
    const fence = randomUUID()
    while (!signal.aborted) {
      // Listen before asking: a release between the two must not be missed.
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

  /** Gives the lease back, unless an append already did. Never throws. */
  async release(lease: Lease): Promise<void> {
    if (lease.released) return
    // Not renewed from here on: should the database not answer, it runs out by itself.
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

  /** Notes that the ledger has already freed the lease together with the request's last append. */
  releasedWithAppend(lease: Lease, contended: boolean): void {
    lease.released = true
    this.#held.delete(lease.fence)
    if (contended) void this.#options.bus.publish({ t: 'lease-released', id: lease.uploadId })
  }

  /** Asks every request that holds a lease here to finish what it has: used when draining. */
  askAllToRelease(): void {
    for (const { wanted } of this.#held.values()) wanted()
  }

  close(): void {
    clearInterval(this.#timer)
    clearTimeout(this.#again)
    for (const stop of this.#unsubscribe) stop()
  }

  /**
   * No request should hang, whatever it waits for. One that does, and whose client has left, must not keep others from
   * the upload for ever: its lease is given back, and with that nothing it may still do counts.
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

  /** Renews, unless that is under way; and at once again where that took until the next time, and failed. */
  async #renew(): Promise<void> {
    if (this.#isRenewing) {
      this.#isDue = true
      return
    }
    this.#isRenewing = true
    try {
      do this.#isDue = false
      while (!(await this.#renewAll()) && this.#isDue)
    } finally {
      this.#isRenewing = false
    }
  }

  async #renewAll(): Promise<boolean> {
    return await this.#renewThese([...this.#held.values()])
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
        // Also the second way for a wish to arrive, should its notification have been lost.
        if (!lease.released && (!row || row.contended)) wanted()
      }
      return true
    } catch (error) {
      // Each lease stops by itself when its time is over.
      this.#options.onError(error)
      return false
    }
  }

  /** An append that is being committed has its row locked for a moment: it is renewed when that has passed. */
  #tryAgain(held: readonly Held[]): void {
    if (held.length === 0) return
    clearTimeout(this.#again)
    this.#again = setTimeout(() => {
      void this.#renewThese(held.filter(({ lease }) => !lease.released))
    }, this.#options.ttlMs / AGAIN_PARTS).unref()
  }
}
