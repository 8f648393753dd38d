import { ContentRejected } from '../../content/verdict.ts'
import { type ContentPolicy, inspectContent } from '../../hooks/pre-append.ts'
import { checkSize, type UploadPolicy } from '../../hooks/pre-create.ts'
import { Refusal } from '../../hooks/refusal.ts'
import { limitsUnder } from '../../hooks/terms.ts'
import type { Bus } from '../../ledger/bus.ts'
import type { EnqueueProcessing } from '../../ledger/due-work.ts'
import { hasEnded } from '../../ledger/expiry.ts'
import type { OwnerId, UploadId } from '../../ledger/ids.ts'
import type { LeaseKeeper } from '../../ledger/lease-keeper.ts'
import { declareLength, findUpload, type UploadRow } from '../../ledger/uploads.ts'
import type { Storage } from '../../storage/storage.ts'
import { BodyTooLong, LeaseLost } from '../../storage/store/outcomes.ts'
import type { UploadStores } from '../../storage/upload-stores.ts'
import type { Appends } from '../admission/appends.ts'
import type { ProgressReporter } from '../events/progress-reporter.ts'
import { appendOf } from './append.ts'
import { type Body, type Checks, checked, NO_BODY } from './body.ts'
import type { Commits } from './commits.ts'
import {
  type CreateFinalRequest,
  type CreateRequest,
  type CreationOptions,
  createFinalUpload,
  createUpload,
} from './creation.ts'
import { Ending } from './ending.ts'
import { type Held, isComplete, isFinal, leaseOf, notHeld, rowOf, type UploadCall } from './held.ts'
import { DirectUpload, FinalUpload, LeaseBusy, UploadGone, UploadNotFound } from './outcomes.ts'

export type EngineOptions = {
  leases: LeaseKeeper
  storage: Pick<Storage, 'enter'>
  stores: UploadStores
  commits: Commits
  /** Lets in requests that bring bytes. */
  appends: Appends
  bus: Bus
  creation: CreationOptions
  content: ContentPolicy
  enqueueProcessing: EnqueueProcessing
  progress: ProgressReporter
}

/** What a request knows of an upload's creator. */
type Caller = Pick<CreateRequest, 'id' | 'ownerId' | 'attachable' | 'ticket' | 'client' | 'over'>

const callerOf = ({ uploadId: id, ownerId, attachable, ticket, client, over }: UploadCall): Caller => ({
  id,
  ownerId,
  attachable,
  ticket,
  client,
  over,
})

/** A new upload as a protocol declares it; the caller is in the context. */
export type NewUpload = Omit<CreateRequest, keyof Caller>
export type NewFinalUpload = Omit<CreateFinalRequest, keyof Caller>

/** `offset`: of the first byte, as returned by `look`; `onWhole` is called when the checks have passed. */
export type ReceiveOptions = Checks & {
  /** All of its bytes count, or none, as the checks decide. */
  isAtomic?: boolean
  /** Whether the upload is complete with its last byte; otherwise by a later request. Asked when that is stored. */
  completes?: () => boolean
  /** Called with offsets that the ledger has recorded, while the request goes on. */
  onCommitted?: (offset: number) => void
}

/** Longest wait for a holder of the lease. */
const WAIT_MS = 15_000
/** Time limit for the lease of an upload that nobody knows yet. */
const WITHDRAW_MS = 250

/**
 * The operations on uploads for all protocols: create, hold, receive bytes, return the offset, end. It knows leases,
 * lengths, quota, digests and verdicts on first bytes, and no protocol or header.
 */
export class UploadEngine {
  readonly #options: EngineOptions

  constructor(options: EngineOptions) {
    this.#options = options
  }

  get policy(): UploadPolicy {
    return this.#options.creation.policy
  }

  /** The policy for an upload, which may have limits of its own. */
  policyFor(upload: Pick<UploadRow, 'terms'> | undefined): UploadPolicy {
    return limitsUnder(this.policy, upload?.terms ?? null)
  }

  /** Creates an upload and reserves its quota. Fails with a `Refusal`. */
  async create(call: UploadCall, upload: NewUpload): Promise<UploadRow> {
    const row = await createUpload(this.#options.creation, { ...upload, ...callerOf(call) })
    this.#options.progress.tick(call.uploadId, 0, upload.size, 0)
    return row
  }

  /**
   * Creates a final upload (tus 1.0 § concatenation), whose partials may be unfinished. It may be complete at once.
   * Fails with a `Refusal`.
   */
  async createFinal(call: UploadCall, upload: NewFinalUpload): Promise<UploadRow> {
    const { creation, enqueueProcessing } = this.#options
    const row = await createFinalUpload(creation, { ...upload, ...callerOf(call) }, enqueueProcessing)
    // No bytes will announce it.
    this.#notifyListeners(call.uploadId, row.state === 'received' ? 'processing' : null)
    return row
  }

  /** The owner's upload as it is in the ledger; undefined where there is none. */
  async find({
    ownerId,
    uploadId,
  }: Pick<UploadCall, 'ownerId' | 'uploadId'>): Promise<UploadRow | undefined> {
    return await findUpload(this.#options.creation.db, ownerId, uploadId)
  }

  /**
   * Admits a request with a body, where the node can serve it to its end. Fails with `unavailable` before it begins.
   */
  async admit<Result>(ownerId: OwnerId, work: () => Promise<Result>): Promise<Result> {
    return await this.#options.appends.run(ownerId, work)
  }

  /**
   * Runs the work with the lease of the upload; asks a holder to release it. The signal ends the work: another request
   * wants the lease, or the request is over. Fails with `UploadNotFound` and `LeaseBusy`.
   */
  async hold<Result>(held: Held, work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const ending = new Ending(held.call.over)
    try {
      await this.take(held, ending.signal, () => ending.endSoon())
      return await work(ending.signal)
    } finally {
      ending.close()
      await this.release(held)
    }
  }

  /** Takes the lease, for a protocol that ends its work itself. `onWanted` is called when another request wants it. */
  async take(held: Held, signal: AbortSignal, onWanted: () => void): Promise<void> {
    const { over, onLeaseWait, ownerId, uploadId } = held.call
    const taken = await this.#options.leases.take({
      uploadId,
      ownerId,
      waitMs: WAIT_MS,
      signal,
      over,
      onWait: onLeaseWait,
      onWanted,
    })
    if (taken === 'absent') throw new UploadNotFound()
    if (taken === 'busy' || taken === 'aborted') throw new LeaseBusy()
    held.lease = taken
  }

  async release({ lease }: Held): Promise<void> {
    if (lease) await this.#options.leases.release(lease)
  }

  /**
   * Reads the held upload and its offset: bytes that are acknowledged and stored. Fails with `UploadNotFound`,
   * `UploadGone`, and with `FinalUpload` for an append to a final upload.
   */
  async look(held: Held, purpose: 'append' | 'read'): Promise<UploadRow> {
    const row = await this.find(held.call)
    if (!row) throw new UploadNotFound()
    held.upload = row
    held.offset = row.offset
    if (hasEnded(row)) throw new UploadGone(row)
    if (purpose === 'append' && isFinal(row)) throw new FinalUpload()
    if (purpose === 'append' && row.protocol === 'direct') throw new DirectUpload()
    held.offset = await this.#options.stores.storeOf(row).offsetOf(row)
    return row
  }

  /**
   * Declares a deferred length. `offset`: bytes that are stored already. Fails with a `Refusal`, with `LeaseLost`, and
   * with `StorageFull` where the disk has no space for the rest.
   */
  async declareLength(held: Held, size: number, offset: number): Promise<void> {
    const { creation, storage } = this.#options
    const row = rowOf(held)
    const policy = this.policyFor(row)
    checkSize(row.is_partial ? { ...policy, minSize: 0 } : policy, size)
    const declared = { id: row.id, ownerId: row.owner_id, fence: leaseOf(held).fence, size }
    const isDeclared = await storage.enter(
      row.storage_backend === 's3' ? 's3' : 'disk',
      Math.max(0, size - offset),
      () => declareLength(creation.db, declared),
    )
    if (!isDeclared) throw new LeaseLost()
    row.size = size
  }

  /**
   * Stores the bytes of a body after `offset`. Resolves with the new offset once the ledger has it; the held row shows
   * whether the upload is complete. When the body fails, earlier bytes are kept and the failure is thrown. Fails with
   * `LeaseLost`, `ContentRejected` and the failures of the checks.
   */
  async receive(held: Held, body: Body, options: ReceiveOptions): Promise<number> {
    const { commits, content, progress, stores } = this.#options
    const { completes = () => true, offset, onCommitted, signal } = options
    const row = rowOf(held)
    const policy = limitsUnder({ ...content, maxSize: this.policy.maxSize }, row.terms)
    // The protocol knows the server's limit, and not that of this upload.
    const maxBytes = Math.min(options.maxBytes, (row.size ?? policy.maxSize) - offset)
    // A repeated last request: nothing is added or finished twice.
    if (isComplete(row)) {
      for await (const _ of body.read({ maxBytes, signal })) throw new BodyTooLong()
      return offset
    }
    const store = await stores.usableStoreOf(row)
    const whole = checked(body, { ...options, maxBytes })
    const inspect = (bytes: AsyncIterable<Uint8Array>) => inspectContent(bytes, row, policy)
    const isInspected = row.offset === 0 && !row.is_partial
    const source = !isInspected ? whole : options.isAtomic ? inspectAtomic(whole, inspect) : inspect(whole)
    let reached = offset
    const append = appendOf(commits, held, {
      offset,
      bodyLength: body.length,
      isAtomic: options.isAtomic ?? false,
      completes,
      onCommitted,
      received(to) {
        reached = to
        progress.tick(row.id, to, row.size, offset)
      },
    })
    try {
      return await store.append(source, append)
    } finally {
      // Only for speed: the job and the event are in the ledger already.
      if (row.state === 'received') this.#notifyListeners(row.id, 'processing')
      // Bytes that were refused count no more.
      else if (reached > row.offset) progress.tick(row.id, row.offset, row.size, offset)
    }
  }

  /** Completes an upload that needs no more bytes: an empty file. */
  async complete(held: Held): Promise<void> {
    const signal = new AbortController().signal
    await this.receive(held, NO_BODY, { offset: 0, maxBytes: 0, signal })
  }

  /**
   * Finishes a held upload whose bytes are in the storage already, as one object of this size and etag. `head`: its first
   * bytes, which are judged like those that arrive here. Fails with a `Refusal`, `LeaseLost`, and `ContentRejected`, after
   * which the caller rejects it.
   */
  async finishStored(
    held: Held,
    { size, etag }: { size: number; etag: string },
    head: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const { commits, content } = this.#options
    const row = rowOf(held)
    const policy = limitsUnder(content, row.terms)
    for await (const _ of inspectContent(head, { ...row, size }, policy));
    if (row.size !== size) await this.declareLength(held, size, size)
    // One part of the whole: when it is assembled, the object must be this one.
    const storedParts = { parts: [{ partNumber: 1, offset: 0, size, etag }], tails: [] }
    await held.call.inOwnerTurn(() => commits.commit(held, { to: size, completes: true, storedParts }))
    this.#notifyListeners(row.id, 'processing')
  }

  /** Rejects a held upload by a verdict on what is in the storage. Always throws: `error`, or `LeaseLost`. */
  async rejectStored(held: Held, error: ContentRejected): Promise<never> {
    return await held.call.inOwnerTurn(() => this.#options.commits.rejectContent(held, error))
  }

  /** The same where the storage has lost them. Always throws: `UploadGone`, or `LeaseLost`. */
  async rejectLost(held: Held): Promise<never> {
    return await held.call.inOwnerTurn(() => this.#options.commits.rejectAsLost(held))
  }

  /**
   * Terminates an upload for its owner, also an expired one. Fails with `UploadNotFound`, `UploadGone`, and a `Refusal`
   * where an upload ticket would delete a file.
   */
  async cancel(held: Held): Promise<void> {
    const row = await this.find(held.call)
    if (!row) throw new UploadNotFound()
    held.upload = row
    if (row.state === 'terminated' || row.state === 'rejected') throw new UploadGone(row)
    // Under the lease: no append completes it any more.
    if (held.call.ticket && row.state === 'received')
      throw new Refusal('forbidden', 'An upload ticket does not delete a file that is complete.')
    await this.#options.commits.terminate(held)
    this.#notifyListeners(row.id, 'removal')
  }

  /** Ends an upload that was created together with refused bytes: its client does not know of it. */
  async withdraw(call: UploadCall): Promise<void> {
    const held = notHeld(call)
    await this.take(held, AbortSignal.timeout(WITHDRAW_MS), () => {})
    try {
      await this.cancel(held)
    } finally {
      await this.release(held)
    }
  }

  /** Wakes listeners, workers among them. */
  #notifyListeners(id: UploadId, queue: 'processing' | 'removal' | null): void {
    void this.#options.bus.publish({ t: 'event', id, queue })
  }
}

/** Damaged bytes are no evidence: a verdict on bytes with a digest waits for its check. */
async function* inspectAtomic(
  whole: AsyncIterable<Uint8Array>,
  inspect: (source: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const iterator = whole[Symbol.asyncIterator]()
  try {
    // It cannot be ended early: the digest is checked at its end.
    yield* inspect({ [Symbol.asyncIterator]: () => ({ next: () => iterator.next() }) })
  } catch (error) {
    if (error instanceof ContentRejected) while (!(await iterator.next()).done);
    throw error
  } finally {
    await iterator.return?.()
  }
}
