import type { Request } from 'express'
import type { UploadId } from '../../ledger/ids.ts'

/** What a protocol needs of its server. */
export type ProtocolOptions = {
  /** The path of uploads on the server. */
  path: string
  /** The address of an upload for clients. */
  addressOf: (request: Request, uploadId: UploadId) => string
  /** Called with the size of each chunk that arrives. */
  countBytes: (bytes: number) => void
}
