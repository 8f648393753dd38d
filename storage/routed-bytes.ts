import type { Ledger } from '../ledger/database.ts'
import type { UploadId } from '../ledger/ids.ts'
import { type Backend, backendOf } from '../ledger/storage-places.ts'
import { moveUpload } from './moving/move-upload.ts'
import { BytesLost, StorageUnavailable } from './store/objects.ts'
import type { Backends, RoutedUploadBytes, UploadBytes } from './store/upload-bytes.ts'

/** Bytes of any upload, in the backend that its row names now. */
export class RoutedBytes implements RoutedUploadBytes {
  readonly #db: Ledger
  readonly #backends: () => Pick<Backends, 'objectsOf' | 'bytesOf'>
  readonly #keyPrefixes: Readonly<Record<Backend, string>>

  constructor(
    db: Ledger,
    backends: () => Pick<Backends, 'objectsOf' | 'bytesOf'>,
    keyPrefixes: Readonly<Record<Backend, string>>,
  ) {
    this.#db = db
    this.#backends = backends
    this.#keyPrefixes = keyPrefixes
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

  async bring(uploadId: UploadId, to: Backend): Promise<void> {
    const backends = this.#backends()
    const result = await moveUpload(
      {
        db: this.#db,
        storage: {
          objectsOf: (row) => backends.objectsOf(row),
          bytesOf: (row) => backends.bytesOf(row),
          // The final upload has claimed the space at its creation.
          enter: async (_backend, _bytes, work) => await work(),
        },
        keyPrefixes: this.#keyPrefixes,
        // A partial upload has no jobs.
        queues: [],
        signal: new AbortController().signal,
      },
      { uploadId, to },
    )
    if (result.kind === 'damaged') throw new BytesLost(result.detail)
    // Another process may be moving it, here or elsewhere.
    if ((await backendOf(this.#db, uploadId)) !== to)
      throw new StorageUnavailable({ cause: new Error('a partial upload cannot be brought here yet') })
  }

  async #of(uploadId: UploadId): Promise<UploadBytes | undefined> {
    const backend = await backendOf(this.#db, uploadId)
    return backend === undefined ? undefined : await this.#backends().bytesOf({ storage_backend: backend })
  }
}
