import type { Request } from 'express'
import type { UploadId } from '../../ledger/ids.ts'

/** What a way in is told of the server that it is a part of. */
export type ProtocolOptions = {
  /** Where uploads are, from the server's root. */
  path: string
  /** The address of an upload, as a client is told it. */
  addressOf: (request: Request, uploadId: UploadId) => string
  /** Told of the bytes of each chunk of a file as it arrives. */
  countBytes: (bytes: number) => void
}
