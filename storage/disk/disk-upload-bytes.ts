import type { Ledger } from '../../ledger/database.ts'
import type { UploadId } from '../../ledger/ids.ts'
import { uploadInBucket } from '../../ledger/pieces.ts'
import { BytesLost } from '../objects.ts'
import type { UploadBytes } from '../storage.ts'
import type { DiskObjects } from './disk-objects.ts'

/** On disk an upload is one file from its first byte on. */
export class DiskUploadBytes implements UploadBytes {
  readonly #db: Ledger
  readonly #objects: DiskObjects

  constructor(db: Ledger, objects: DiskObjects) {
    this.#db = db
    this.#objects = objects
  }

  async assemble(uploadId: UploadId): Promise<{ size: number; etag: null }> {
    const upload = await uploadInBucket(this.#db, uploadId)
    const size = upload && (await this.#objects.sizeOf(upload.storageKey))
    if (size === undefined) throw new BytesLost('the file is gone')
    return { size, etag: null }
  }

  async discard(uploadId: UploadId): Promise<void> {
    const upload = await uploadInBucket(this.#db, uploadId)
    if (upload) await this.#objects.remove(upload.storageKey)
  }

  /** On disk nothing arrives late. */
  async sweep(): Promise<void> {}
}
