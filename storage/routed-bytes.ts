import type { Ledger } from '../ledger/database.ts'
import type { UploadId } from '../ledger/ids.ts'
import { backendOf } from '../ledger/storage-places.ts'
import { BytesLost } from './objects.ts'
import type { StoredRow, UploadBytes } from './storage.ts'

/** The bytes of every upload, each by the backend that its row names at the moment. */
export class RoutedBytes implements UploadBytes {
  readonly #db: Ledger
  readonly #bytesOf: (row: StoredRow) => UploadBytes

  constructor(db: Ledger, bytesOf: (row: StoredRow) => UploadBytes) {
    this.#db = db
    this.#bytesOf = bytesOf
  }

  async assemble(uploadId: UploadId): Promise<{ size: number; etag: string | null }> {
    const bytes = await this.#of(uploadId)
    if (!bytes) throw new BytesLost('the upload is not in the ledger')
    return await bytes.assemble(uploadId)
  }

  async discard(uploadId: UploadId): Promise<void> {
    await (await this.#of(uploadId))?.discard(uploadId)
  }

  async sweep(uploadId: UploadId): Promise<void> {
    await (await this.#of(uploadId))?.sweep(uploadId)
  }

  async #of(uploadId: UploadId): Promise<UploadBytes | undefined> {
    const backend = await backendOf(this.#db, uploadId)
    return backend === undefined ? undefined : this.#bytesOf({ storage_backend: backend })
  }
}
