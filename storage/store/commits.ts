import type { ContentRefused } from '../../content/verdict.ts'
import { finishPartial, slideWaiting } from '../../ledger/concatenation.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { DueMedia, Enqueue } from '../../ledger/due-work.ts'
import type { EndLog } from '../../ledger/end-log.ts'
import type { ExpiryPolicy } from '../../ledger/expiry.ts'
import { finishUpload } from '../../ledger/finishing.ts'
import { newMediaId, type UploadId } from '../../ledger/ids.ts'
import type { Lease, LeaseKeeper } from '../../ledger/lease-keeper.ts'
import type { Pieces } from '../../ledger/pieces.ts'
import type { Reason } from '../../ledger/schema.ts'
import {
  type Append,
  type Appended,
  type AppendResult,
  appendAndRelease,
  appendBytes,
  rejectUpload,
  terminateReceived,
  terminateUpload,
  type UploadRow,
} from '../../ledger/uploads.ts'
import { appendContext } from './append-context.ts'
import { LeaseLost, UploadGone } from './outcomes.ts'

export type CommitsOptions = {
  db: Ledger
  leases: LeaseKeeper
  expiry: ExpiryPolicy
  enqueueProcessing: Enqueue<readonly DueMedia[]>
  enqueueRemoval: Enqueue<UploadId>
  /** Tells listeners that the ledger has news of an upload that its request does not tell of, and of a job of this kind. */
  announce: (uploadId: UploadId, job: 'processing' | 'removal') => void
  ends: EndLog
}

const BYTES_LOST = {
  code: 'bytes-lost',
  detail: 'The storage has lost bytes of this upload. Please send the file again.',
}

/**
 * How a store tells the ledger what it has durably stored. Every commit carries the fence of the
 * request's lease and the offset it started from; after `LeaseLost` nothing was changed.
 */
export class Commits {
  readonly #options: CommitsOptions

  constructor(options: CommitsOptions) {
    this.#options = options
  }

  /** Bytes up to `to` are durable and the request goes on. */
  async checkpoint(upload: UploadRow, lease: Lease, to: number, pieces?: Pieces): Promise<void> {
    const { db, expiry } = this.#options
    const result = await appendBytes(db, appendOf(upload, lease, to, pieces), expiry)
    if (result.kind === 'fenced-off') {
      lease.validUntil = 0
      throw new LeaseLost()
    }
    upload.offset = to
    moveExpiry(upload, result)
    if (upload.is_partial) await slideWaiting(db, upload.owner_id, expiry)
    appendContext().onCommitted?.(to)
  }

  /** Bytes up to `to` are durable and the request ends; completes the upload when that is all of it. */
  async lastAppend(upload: UploadRow, lease: Lease, to: number, pieces?: Pieces): Promise<void> {
    const { announce, db, enqueueProcessing, expiry } = this.#options
    const append = appendOf(upload, lease, to, pieces)
    if (!endsUpload(upload, to)) {
      const result = await appendAndRelease(db, append, expiry)
      this.#settle(lease, result)
      moveExpiry(upload, result)
    } else if (upload.is_partial) {
      const result = await finishPartial(db, append, expiry, enqueueProcessing)
      this.#settle(lease, result)
      moveExpiry(upload, result)
      upload.is_finished = true
      for (const id of result.completed) announce(id, 'processing')
      await this.#options.ends.byId(db, 'upload.received', result.completed, requestIdOf())
    } else {
      const mediaId = newMediaId()
      this.#settle(lease, await finishUpload(db, append, mediaId, enqueueProcessing))
      upload.state = 'received'
      upload.media_id = mediaId
      this.#options.ends.upload('upload.received', { ...upload, offset: to }, null, requestIdOf())
    }
    upload.offset = to
    if (upload.is_partial) await slideWaiting(db, upload.owner_id, expiry)
  }

  /** Ends an upload: an open one's bytes are removed by a job that this commit enqueues, a received one's with its media. */
  async terminate(upload: UploadRow, lease: Lease): Promise<void> {
    const { db, ends, enqueueRemoval } = this.#options
    const ended = { id: upload.id, ownerId: upload.owner_id, fence: lease.fence }
    const result =
      upload.state === 'received' && !upload.is_partial
        ? await terminateReceived(db, ended, enqueueRemoval)
        : await terminateUpload(db, ended, enqueueRemoval)
    this.#settle(lease, result)
    upload.state = 'terminated'
    if (result.kind === 'fenced-off') return
    if (!result.wasOver) ends.upload('upload.terminated', upload, null, requestIdOf())
    if (result.mediaId !== undefined) await ends.byId(db, 'media.deleted', [upload.id], requestIdOf())
  }

  /** Ends an open upload whose acknowledged bytes the storage has lost: always throws, `UploadGone` unless the lease was lost. */
  async lose(upload: UploadRow, lease: Lease): Promise<never> {
    await this.#reject(upload, lease, BYTES_LOST)
    throw new UploadGone({ ...upload, state: 'rejected', reject: BYTES_LOST })
  }

  /** Ends an open upload by a verdict on what has arrived of it: always throws, `refused` unless the lease was lost. */
  async refuse(upload: UploadRow, lease: Lease, refused: ContentRefused): Promise<never> {
    await this.#reject(upload, lease, refused.verdict)
    throw refused
  }

  async #reject(upload: UploadRow, lease: Lease, reason: Reason): Promise<void> {
    const { announce, db, enqueueRemoval } = this.#options
    const ended = { id: upload.id, ownerId: upload.owner_id, fence: lease.fence }
    this.#settle(lease, await rejectUpload(db, ended, reason, enqueueRemoval))
    announce(upload.id, 'removal')
    this.#options.ends.upload('upload.rejected', upload, reason, requestIdOf())
  }

  #settle(lease: Lease, result: AppendResult | Appended): void {
    const isLost = result.kind === 'fenced-off'
    // Fenced off for another reason than a lost lease, the lease is free now too: wake who may wait.
    this.#options.leases.releasedWithAppend(lease, isLost || result.contended)
    if (isLost) throw new LeaseLost()
  }
}

const requestIdOf = () => ({ requestId: appendContext().requestId })

/** Whether the running request completes the upload once it has its bytes up to `to`. */
export const endsUpload = (upload: UploadRow, to: number): boolean =>
  to === upload.size && (upload.is_partial || appendContext().completes)

/** Whether there is nothing to add to an upload any more, and nothing to finish. */
export const isComplete = (upload: UploadRow): boolean => upload.state === 'received' || upload.is_finished

function moveExpiry(upload: UploadRow, result: Appended): void {
  if (result.kind === 'fenced-off') return
  upload.expires_at = result.expires_at
  upload.read_at = result.read_at
}

function appendOf(upload: UploadRow, lease: Lease, to: number, pieces: Pieces | undefined): Append {
  const append = { id: upload.id, ownerId: upload.owner_id, fence: lease.fence, from: upload.offset, to }
  return pieces ? { ...append, pieces } : append
}
