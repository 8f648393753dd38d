import { Upload } from '@tus/utils'
import type { Ledger } from '../ledger/database.ts'
import { parseUploadId } from '../ledger/ids.ts'
import { declareLength, findUpload, type UploadRow } from '../ledger/uploads.ts'
import { appendContext, requireLease } from './append-context.ts'
import type { Commits } from './commits.ts'
import { FinalUpload, LeaseLost, UploadGone, UploadNotFound } from './outcomes.ts'

export type UploadBooksOptions = {
  db: Ledger
  commits: Commits
  /** How long an upload may stay open, for the `Upload-Expires` header. */
  expiresAfterMs: number
}

/** What both stores answer from the ledger alone, for the running request. */
export class UploadBooks {
  readonly #options: UploadBooksOptions

  constructor(options: UploadBooksOptions) {
    this.#options = options
  }

  /** The upload that the request has just created. */
  created(upload: Upload): UploadRow {
    const { upload: row } = appendContext()
    if (!row) throw new UploadNotFound()
    // With a date the handler would read the upload once more, for a header that the endpoint knows as well.
    upload.creation_date = undefined
    return row
  }

  /** Reads the owner's upload into the request's context. Fails with `UploadNotFound` or `UploadGone`. */
  async find(id: string): Promise<UploadRow> {
    const context = appendContext()
    const uploadId = parseUploadId(id)
    const row = uploadId && (await findUpload(this.#options.db, context.ownerId, uploadId))
    if (!row) throw new UploadNotFound()
    context.upload = row
    if (row.state !== 'open' && row.state !== 'received') throw new UploadGone(row)
    if (context.isAppend && isFinal(row)) throw new FinalUpload()
    if (row.state === 'open' && row.expires_at.getTime() <= Date.now()) {
      throw new UploadGone({ ...row, state: 'expired' })
    }
    return row
  }

  /** The upload as the protocol's handlers want it. */
  describe(row: UploadRow, offset: number): Upload {
    return new Upload({
      id: row.id,
      size: row.size ?? undefined,
      offset,
      metadata: row.metadata,
      // Only an open upload expires; without a date the handlers do not look.
      creation_date: row.state === 'open' ? this.#beganAt(row) : undefined,
    })
  }

  /** tus 1.0 § creation-defer-length. Fails with `LeaseLost`. */
  async declareLength(size: number): Promise<void> {
    const { upload } = appendContext()
    const { fence } = requireLease()
    if (
      !upload ||
      !(await declareLength(this.#options.db, { id: upload.id, ownerId: upload.owner_id, fence, size }))
    ) {
      throw new LeaseLost()
    }
    upload.size = size
  }

  /** tus 1.0 § termination. The bytes go by the job that the ledger enqueues in the same commit. */
  async terminate(id: string): Promise<void> {
    await this.#options.commits.terminate(await this.find(id), requireLease())
  }

  /** The handlers add the configured period to it, which must give what the ledger has decided. */
  #beganAt(row: UploadRow): string {
    return new Date(row.expires_at.getTime() - this.#options.expiresAfterMs).toISOString()
  }
}

/** An upload that is made of others: no bytes are sent to it (tus 1.0 § concatenation). */
export const isFinal = (row: UploadRow): boolean => row.concat !== null && !row.is_partial

/** The package's limiter has seen more bytes than the upload has room for. */
export function isTooLong(failure: unknown): boolean {
  return failure instanceof Error && 'status_code' in failure && failure.status_code === 413
}
