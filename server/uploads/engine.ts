import { ContentRejected } from '../../content/verdict.ts'
import { type ContentPolicy, inspectContent } from '../../hooks/pre-append.ts'
import { checkSize, type UploadPolicy } from '../../hooks/pre-create.ts'
import type { Bus } from '../../ledger/bus.ts'
import type { DueMedia, Enqueue } from '../../ledger/due-work.ts'
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
import { FinalUpload, LeaseBusy, UploadGone, UploadNotFound } from './outcomes.ts'

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
  enqueueProcessing: Enqueue<readonly DueMedia[]>
  progress: ProgressReporter
}

/** What a way in says of an upload that it begins; who begins it says its call. */
export type NewUpload = Omit<CreateRequest, 'id' | 'ownerId' | 'tenantId'>
export type NewFinalUpload = Omit<CreateFinalRequest, 'id' | 'ownerId' | 'tenantId'>

/** `offset`, of the first byte, is what `look` said; `onWhole` is called when the checks have passed. */
export type ReceiveOptions = Checks & {
  /** All of its bytes count, or none: the checks say so. */
  isAtomic?: boolean
  /** Whether the upload is over with its last byte; else its client says so by a later request. */
  completes?: boolean
  /** Told of bytes that the ledger has, while the request goes on. */
  onCommitted?: (offset: number) => void
}

/** Longest wait for a holder that does not let go. */
const WAIT_MS = 15_000
/** How long the lease of an upload that nobody has heard of may take. */
const WITHDRAW_MS = 250

/**
 * What every way in does with uploads: creates them, holds them, receives their bytes, says how far they are, ends them.
 * It knows leases, lengths, quota, digests, verdicts on first bytes; it knows no protocol and none of its headers.
 */
export class UploadEngine {
  readonly #options: EngineOptions

  constructor(options: EngineOptions) {
    this.#options = options
  }

  get policy(): UploadPolicy {
    return this.#options.creation.policy
  }

  /** Enters an upload into the ledger, with its quota reserved. Fails with a `Refusal`. */
  async create({ uploadId: id, ownerId, tenantId }: UploadCall, upload: NewUpload): Promise<UploadRow> {
    const row = await createUpload(this.#options.creation, { ...upload, id, ownerId, tenantId })
    this.#options.progress.tick(id, 0, upload.size, 0)
    return row
  }

  /**
   * Enters an upload that is made of others (tus 1.0 § concatenation), which may be unfinished. It may be complete at once.
   * Fails with a `Refusal`.
   */
  async createFinal(
    { uploadId: id, ownerId, tenantId }: UploadCall,
    upload: NewFinalUpload,
  ): Promise<UploadRow> {
    const { creation, enqueueProcessing } = this.#options
    const row = await createFinalUpload(creation, { ...upload, id, ownerId, tenantId }, enqueueProcessing)
    // No bytes will tell of it.
    this.#notifyListeners(id, row.state === 'received' ? 'processing' : null)
    return row
  }

  /** The owner's upload as the ledger has it now, by anybody's hands; undefined where there is none. */
  async find({
    ownerId,
    uploadId,
  }: Pick<UploadCall, 'ownerId' | 'uploadId'>): Promise<UploadRow | undefined> {
    return await findUpload(this.#options.creation.db, ownerId, uploadId)
  }

  /** Lets a request with a body in, where the node can carry it to its end. Fails with `unavailable` before it begins. */
  async admit<Result>(ownerId: OwnerId, work: () => Promise<Result>): Promise<Result> {
    return await this.#options.appends.run(ownerId, work)
  }

  /**
   * Does the work under the lease of the upload, which a request that has it is asked for. The signal of the work ends it:
   * somebody else wants the lease, or the request is over. Fails with `UploadNotFound` and `LeaseBusy`.
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

  /** Takes the lease, for a way in that ends its work by itself. `onWanted` is told that somebody else wants it. */
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
   * Reads what is held, and how far it is: what is acknowledged and still there. Fails with `UploadNotFound`,
   * `UploadGone`, and with `FinalUpload` where bytes are to come to an upload that takes none.
   */
  async look(held: Held, purpose: 'append' | 'read'): Promise<UploadRow> {
    const row = await this.find(held.call)
    if (!row) throw new UploadNotFound()
    held.upload = row
    held.offset = row.offset
    if (row.state !== 'open' && row.state !== 'received') throw new UploadGone(row)
    if (purpose === 'append' && isFinal(row)) throw new FinalUpload()
    held.offset = await this.#options.stores.storeOf(row).offsetOf(row)
    return row
  }

  /**
   * Declares a deferred length. `from`: the bytes that are there already. Fails with a `Refusal`, with `LeaseLost`, and
   * with `StorageFull` where there is no room for what is still to come.
   */
  async declareLength(held: Held, size: number, from: number): Promise<void> {
    const { creation, storage } = this.#options
    const row = rowOf(held)
    checkSize(row.is_partial ? { ...creation.policy, minSize: 0 } : creation.policy, size)
    const declared = { id: row.id, ownerId: row.owner_id, fence: leaseOf(held).fence, size }
    const isDeclared = await storage.enter(
      row.storage_backend === 's3' ? 's3' : 'disk',
      Math.max(0, size - from),
      () => declareLength(creation.db, declared),
    )
    if (!isDeclared) throw new LeaseLost()
    row.size = size
  }

  /**
   * Stores the bytes of a body behind `offset`. Resolves with the new offset once the ledger has it; what is held says
   * whether that was all. When the body fails, what came before is kept and the failure passed on. Fails with `LeaseLost`,
   * `ContentRejected` and what the checks fail with.
   */
  async receive(held: Held, body: Body, options: ReceiveOptions): Promise<number> {
    const { commits, content, progress, stores } = this.#options
    const { completes = true, maxBytes, offset, onCommitted, signal } = options
    const row = rowOf(held)
    // The last request repeated: there is nothing to add and nothing to finish twice.
    if (isComplete(row)) {
      for await (const _ of body.read({ maxBytes, signal })) throw new BodyTooLong()
      return offset
    }
    const store = await stores.usableStoreOf(row)
    const whole = checked(body, options)
    const inspect = (bytes: AsyncIterable<Uint8Array>) => inspectContent(bytes, row, content)
    const isInspected = row.offset === 0 && !row.is_partial
    const source = !isInspected ? whole : options.isAtomic ? inspectAtomic(whole, inspect) : inspect(whole)
    const append = appendOf(commits, held, {
      offset,
      bodyLength: body.length,
      isAtomic: options.isAtomic ?? false,
      completes,
      onCommitted,
      received: (to) => progress.tick(row.id, to, row.size, offset),
    })
    try {
      return await store.append(source, append)
    } finally {
      // Only speed depends on it: the job and the event are in the ledger already.
      if (row.state === 'received') this.#notifyListeners(row.id, 'processing')
    }
  }

  /** Completes an upload that needs no more bytes: an empty file. */
  async complete(held: Held): Promise<void> {
    const signal = new AbortController().signal
    await this.receive(held, NO_BODY, { offset: 0, maxBytes: 0, signal })
  }

  /** Ends an upload at its owner's wish, also one that has expired. Fails with `UploadNotFound` and `UploadGone`. */
  async cancel(held: Held): Promise<void> {
    const row = await this.find(held.call)
    if (!row) throw new UploadNotFound()
    held.upload = row
    if (row.state === 'terminated' || row.state === 'rejected') throw new UploadGone(row)
    await this.#options.commits.terminate(held)
    this.#notifyListeners(row.id, 'removal')
  }

  /** Ends an upload that was created with bytes which are refused: nobody would know of it. */
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

/** What was damaged on its way is no evidence: a verdict on bytes with a digest waits until that is right. */
async function* inspectAtomic(
  whole: AsyncIterable<Uint8Array>,
  inspect: (source: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const iterator = whole[Symbol.asyncIterator]()
  try {
    // Without a way to end it from there: its end is where the digest is compared.
    yield* inspect({ [Symbol.asyncIterator]: () => ({ next: () => iterator.next() }) })
  } catch (error) {
    if (error instanceof ContentRejected) while (!(await iterator.next()).done);
    throw error
  } finally {
    await iterator.return?.()
  }
}
