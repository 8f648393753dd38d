import type { ContentRejected } from '../../content/verdict.ts'
import { extendWaitingUploads, finishPartial } from '../../ledger/concatenation.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { EnqueueProcessing, EnqueueRemoval } from '../../ledger/due-work.ts'
import type { EndLog } from '../../ledger/end-log.ts'
import type { ExpiryPolicy } from '../../ledger/expiry.ts'
import { finishUpload } from '../../ledger/finishing.ts'
import { newMediaId, type UploadId } from '../../ledger/ids.ts'
import type { Lease, LeaseKeeper } from '../../ledger/lease-keeper.ts'
import type { Reason } from '../../ledger/schema.ts'
import type { StoredParts } from '../../ledger/stored-parts.ts'
import {
  type Append,
  appendAndRelease,
  appendBytes,
  type Committed,
  type Moved,
  rejectUpload,
  terminateReceived,
  terminateUpload,
  type UploadRow,
} from '../../ledger/uploads.ts'
import { LeaseLost } from '../../storage/store/outcomes.ts'
import { type Held, leaseOf, rowOf } from './held.ts'
import { UploadGone } from './outcomes.ts'

export type CommitsOptions = {
  db: Ledger
  leases: LeaseKeeper
  expiry: ExpiryPolicy
  enqueueProcessing: EnqueueProcessing
  enqueueRemoval: EnqueueRemoval
  /** Publishes that the ledger has new events of an upload, and a new job of this kind. */
  notifyListeners: (uploadId: UploadId, job: 'processing' | 'removal') => void
  ends: EndLog
}

/** The final commit of a request. `completes`: whether the upload is complete with its last byte. */
export type LastCommit = { to: number; completes: boolean; storedParts?: StoredParts }

const BYTES_LOST = {
  code: 'bytes-lost',
  detail: 'The storage has lost bytes of this upload. Please send the file again.',
}

/**
 * The only writer of offsets and ends of uploads in the ledger. Every commit carries the fence of the request's lease
 * and the former offset; after `LeaseLost` nothing was changed. Commits update the held row.
 */
export class Commits {
  readonly #options: CommitsOptions

  constructor(options: CommitsOptions) {
    this.#options = options
  }

  /** Bytes up to `to` are durable and the request goes on. */
  async checkpoint(held: Held, to: number, storedParts?: StoredParts): Promise<void> {
    const { db, expiry } = this.#options
    const upload = rowOf(held)
    const lease = leaseOf(held)
    const result = await appendBytes(db, appendOf(upload, lease, to, storedParts), expiry)
    if (result.kind === 'lease-lost') {
      lease.validUntil = 0
      throw new LeaseLost()
    }
    upload.offset = to
    moveExpiry(upload, result)
    if (upload.is_partial) await extendWaitingUploads(db, upload.owner_id, expiry)
  }

  /** Bytes up to `to` are durable and the request ends; completes the upload when it has all bytes. */
  async commit(held: Held, { to, completes, storedParts }: LastCommit): Promise<void> {
    const { notifyListeners, db, ends, enqueueProcessing, expiry } = this.#options
    const upload = rowOf(held)
    const lease = leaseOf(held)
    const append = appendOf(upload, lease, to, storedParts)
    if (!endsAt(upload, to, completes)) {
      const result = await appendAndRelease(db, append, expiry)
      this.#settle(lease, result)
      moveExpiry(upload, result)
    } else if (upload.is_partial) {
      const result = await finishPartial(db, append, expiry, enqueueProcessing)
      this.#settle(lease, result)
      moveExpiry(upload, result)
      upload.is_finished = true
      for (const id of result.completed) notifyListeners(id, 'processing')
      await ends.byId(db, 'upload.received', result.completed, requestIdOf(held))
    } else {
      const mediaId = newMediaId()
      this.#settle(lease, await finishUpload(db, append, mediaId, enqueueProcessing))
      upload.state = 'received'
      upload.media_id = mediaId
      ends.upload('upload.received', { ...upload, offset: to }, null, requestIdOf(held))
    }
    upload.offset = to
    if (upload.is_partial) await extendWaitingUploads(db, upload.owner_id, expiry)
  }

  /**
   * Terminates an upload: the bytes of an open one are removed by a job, those of a received one with its media item.
   */
  async terminate(held: Held): Promise<void> {
    const { db, ends, enqueueRemoval } = this.#options
    const upload = rowOf(held)
    const lease = leaseOf(held)
    const ended = { id: upload.id, ownerId: upload.owner_id, fence: lease.fence }
    const result =
      upload.state === 'received' && !upload.is_partial
        ? await terminateReceived(db, ended, enqueueRemoval)
        : await terminateUpload(db, ended, enqueueRemoval)
    this.#settle(lease, result)
    upload.state = 'terminated'
    if (result.kind === 'lease-lost') return
    if (!result.wasOver) ends.upload('upload.terminated', upload, null, requestIdOf(held))
    if (result.mediaId !== undefined) await ends.byId(db, 'media.deleted', [upload.id], requestIdOf(held))
  }

  /** Rejects an open upload whose acknowledged bytes are lost. Always throws: `UploadGone`, or `LeaseLost`. */
  async rejectAsLost(held: Held): Promise<never> {
    await this.#reject(held, BYTES_LOST)
    throw new UploadGone({ ...rowOf(held), state: 'rejected', reject: BYTES_LOST })
  }

  /** Rejects an open upload by a verdict on its bytes. Always throws: `error`, or `LeaseLost`. */
  async rejectContent(held: Held, error: ContentRejected): Promise<never> {
    await this.#reject(held, error.verdict)
    throw error
  }

  async #reject(held: Held, reason: Reason): Promise<void> {
    const { notifyListeners, db, ends, enqueueRemoval } = this.#options
    const upload = rowOf(held)
    const lease = leaseOf(held)
    const ended = { id: upload.id, ownerId: upload.owner_id, fence: lease.fence }
    this.#settle(lease, await rejectUpload(db, ended, reason, enqueueRemoval))
    notifyListeners(upload.id, 'removal')
    ends.upload('upload.rejected', upload, reason, requestIdOf(held))
  }

  #settle(lease: Lease, result: Committed): void {
    const isLost = result.kind === 'lease-lost'
    // Where the row was not as expected, the lease is free now too: wake waiting requests.
    this.#options.leases.releasedWithAppend(lease, isLost || result.contended)
    if (isLost) throw new LeaseLost()
  }
}

const requestIdOf = ({ call }: Held) => ({ requestId: call.requestId })

/** Whether an upload is complete when it has its bytes up to `to`; `completes`: what the request says. */
export const endsAt = (upload: UploadRow, to: number, completes: boolean): boolean =>
  to === upload.size && (upload.is_partial || completes)

function moveExpiry(upload: UploadRow, result: Committed<Moved>): void {
  if (result.kind === 'lease-lost') return
  upload.expires_at = result.expires_at
  upload.read_at = result.read_at
}

function appendOf(upload: UploadRow, lease: Lease, to: number, storedParts: StoredParts | undefined): Append {
  const append = { id: upload.id, ownerId: upload.owner_id, fence: lease.fence, offset: upload.offset, to }
  return storedParts ? { ...append, storedParts } : append
}
