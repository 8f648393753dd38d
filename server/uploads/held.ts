import type { OwnerId, UploadId } from '../../ledger/ids.ts'
import type { Lease } from '../../ledger/lease-keeper.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { UploadNotFound } from './outcomes.ts'

/** Who asks for something of which upload, and what has to hear of it on the way. */
export type UploadCall = {
  readonly ownerId: OwnerId
  readonly tenantId: string | null
  /** Of the address, or as chosen for a creation. */
  readonly uploadId: UploadId
  /** For the log. */
  readonly requestId: string
  /** Aborted when the request is answered or its client has left. */
  readonly over: AbortSignal
  /** Told that the request waits for another one to give up the lease, which may take seconds. */
  readonly onLeaseWait: () => void
  /** Records what has arrived, when it is the turn of the request's owner. Not to be called from within `work`. */
  readonly inOwnerTurn: <Result>(work: () => Promise<Result>) => Promise<Result>
}

/** An upload in the hands of one request, from `hold` to its end. */
export type Held = {
  readonly call: UploadCall
  /** Undefined for a creation that brings no bytes: it has written all that there is to write. */
  lease: Lease | undefined
  /** As last read under the lease, or as just created; commits bring it up to date. */
  upload: UploadRow | undefined
  /** Up to where its bytes are there, when it was last looked at. */
  offset: number
}

export const notHeld = (call: UploadCall, upload?: UploadRow): Held => ({
  call,
  lease: undefined,
  upload,
  offset: 0,
})

/** The row of what is held. Fails with `UploadNotFound` where nobody has looked at it, or there is none. */
export function rowOf({ upload }: Held): UploadRow {
  if (!upload) throw new UploadNotFound()
  return upload
}

/** The lease of what is held, which must be there. */
export function leaseOf({ lease }: Held): Lease {
  if (!lease) throw new Error('an upload was written to without a lease')
  return lease
}

/** An upload that is made of others: no bytes are sent to it (tus 1.0 § concatenation). */
export const isFinal = (row: UploadRow): boolean => row.concat !== null && !row.is_partial

/** Whether there is nothing to add to an upload any more, and nothing to finish. */
export const isComplete = (row: UploadRow): boolean => row.state === 'received' || row.is_finished
