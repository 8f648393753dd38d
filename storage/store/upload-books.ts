import { Upload } from '@tus/utils'
import type { Ledger } from '../../ledger/database.ts'
import { parseUploadId } from '../../ledger/ids.ts'
import { declareLength, findUpload, type UploadRow } from '../../ledger/uploads.ts'
import { appendContext, requireLease } from './append-context.ts'
import type { Commits } from './commits.ts'
import { FinalUpload, LeaseLost, UploadGone, UploadNotFound } from './outcomes.ts'

export type UploadBooksOptions = {
  db: Ledger
  commits: Commits
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
    undated(upload)
    return row
  }

  /** Reads the owner's upload into the request's context. Fails with `UploadNotFound` or `UploadGone`. */
  async find(id: string): Promise<UploadRow> {
    const row = await this.#read(id)
    if (row.state !== 'open' && row.state !== 'received') throw new UploadGone(row)
    if (appendContext().isAppend && isFinal(row)) throw new FinalUpload()
    return row
  }

  /** The upload as the protocol's handlers want it. */
  describe(row: UploadRow, offset: number): Upload {
    return undated(new Upload({ id: row.id, size: row.size ?? undefined, offset, metadata: row.metadata }))
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

  /**
   * tus 1.0 § termination, also of an upload that has expired. The bytes go by the job that the ledger enqueues in the
   * same commit.
   */
  async terminate(id: string): Promise<void> {
    const row = await this.#read(id)
    if (row.state === 'terminated' || row.state === 'rejected') throw new UploadGone(row)
    await this.#options.commits.terminate(row, requireLease())
  }

  async #read(id: string): Promise<UploadRow> {
    const context = appendContext()
    const uploadId = parseUploadId(id)
    const row = uploadId && (await findUpload(this.#options.db, context.ownerId, uploadId))
    if (!row) throw new UploadNotFound()
    context.upload = row
    return row
  }
}

/** Without a date the package's handlers leave it to the ledger what has expired. */
function undated(upload: Upload): Upload {
  upload.creation_date = undefined
  return upload
}

/** An upload that is made of others: no bytes are sent to it (tus 1.0 § concatenation). */
export const isFinal = (row: UploadRow): boolean => row.concat !== null && !row.is_partial

/** The package's limiter has seen more bytes than the upload has room for. */
export function isTooLong(failure: unknown): boolean {
  return failure instanceof Error && 'status_code' in failure && failure.status_code === 413
}
