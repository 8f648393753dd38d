import { DiskUploadStore } from './disk/disk-upload-store.ts'
import { S3UploadStore, type S3UploadStoreOptions } from './s3/s3-upload-store.ts'
import type { Storage } from './storage.ts'
import { StorageUnavailable } from './store/objects.ts'
import type { StoredRow } from './store/upload-bytes.ts'
import type { UploadStore } from './store/upload-store.ts'

/** The store of each upload: that of the backend that its row names, whatever is configured now. */
export class UploadStores {
  readonly #storage: Pick<Storage, 'checkUsable'>
  readonly #stores: Readonly<Record<string, UploadStore | undefined>>

  constructor(storage: Storage, options: Omit<S3UploadStoreOptions, 's3' | 'objects'>) {
    this.#storage = storage
    this.#stores = {
      disk: new DiskUploadStore(storage.disk),
      s3: storage.s3 && new S3UploadStore({ ...options, ...storage.s3 }),
    }
  }

  /** Fails with `StorageUnavailable` where no settings lead to it. */
  storeOf({ storage_backend: backend }: StoredRow): UploadStore {
    const store = this.#stores[backend]
    if (!store)
      throw new StorageUnavailable({ cause: new Error(`no settings lead to the storage "${backend}"`) })
    return store
  }

  /** The same for new bytes. Fails with `StorageUnavailable` where they cannot be stored now. */
  async usableStoreOf(row: StoredRow): Promise<UploadStore> {
    await this.#storage.checkUsable(row)
    return this.storeOf(row)
  }

  /** Waits for background work. */
  async close(): Promise<void> {
    await Promise.all(Object.values(this.#stores).map((store) => store?.close()))
  }
}
