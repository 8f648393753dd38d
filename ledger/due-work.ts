import type { LedgerTransaction } from './database.ts'
import type { MediaId, OwnerId, UploadId } from './ids.ts'
import type { Turn } from './processing-turns.ts'

/** A media item that is due for processing. */
export type DueMedia = {
  id: MediaId
  ownerId: OwnerId
  size: number
  /** In the queue of its owner. */
  turn: Turn
  /** It is processed again: it waits behind all new files, in the queue at most once. */
  again?: boolean
}

/** Enqueues work inside the transaction that makes it due. */
type Enqueue<Subject> = (trx: LedgerTransaction, subject: Subject) => Promise<void>
export type EnqueueProcessing = Enqueue<readonly DueMedia[]>
export type EnqueueRemoval = Enqueue<UploadId>
export type EnqueueRemovals = Enqueue<readonly UploadId[]>
