import type { Attachable } from '../../hooks/attachment.ts'
import type { HookClient } from '../../hooks/own/questions.ts'
import type { OwnerId, UploadId } from '../../ledger/ids.ts'
import type { Lease } from '../../ledger/lease-keeper.ts'
import type { BearerTicket } from '../../ledger/upload-tickets.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { UploadNotFound } from './outcomes.ts'

/** The caller and the upload of an operation, with its callbacks. */
export type UploadCall = {
  readonly ownerId: OwnerId
  /** What the caller may attach files to. */
  readonly attachable: Attachable
  /** The ticket that the caller has in place of a token. */
  readonly ticket: BearerTicket | undefined
  /** For the hooks of the application. */
  readonly client: HookClient
  /** From the address, or as chosen for a creation. */
  readonly uploadId: UploadId
  /** For the log. */
  readonly requestId: string
  /** Aborted when the request is answered or its client has left. */
  readonly over: AbortSignal
  /** Called when the request waits for another one to release the lease, which may take seconds. */
  readonly onLeaseWait: () => void
  /** Runs the final commit of the request in a turn of its owner. Must not be nested. */
  readonly inOwnerTurn: <Result>(work: () => Promise<Result>) => Promise<Result>
}

/** An upload while one request works on it, from `hold` to its end. */
export type Held = {
  readonly call: UploadCall
  /** Undefined for a creation without bytes, which needs none. */
  lease: Lease | undefined
  /** As last read under the lease, or as just created; commits update it. */
  upload: UploadRow | undefined
  /** The offset, when it was last read. */
  offset: number
}

export const notHeld = (call: UploadCall, upload?: UploadRow): Held => ({
  call,
  lease: undefined,
  upload,
  offset: 0,
})

/** The held row. Fails with `UploadNotFound` where it was not read, or does not exist. */
export function rowOf({ upload }: Held): UploadRow {
  if (!upload) throw new UploadNotFound()
  return upload
}

/** The held lease, which must be there. */
export function leaseOf({ lease }: Held): Lease {
  if (!lease) throw new Error('an upload was written to without a lease')
  return lease
}

/** A final upload: no bytes are sent to it (tus 1.0 § concatenation). */
export const isFinal = (row: UploadRow): boolean => row.concat !== null && !row.is_partial

/** Whether an upload is complete: nothing can be added or finished. */
export const isComplete = (row: UploadRow): boolean => row.state === 'received' || row.is_finished
