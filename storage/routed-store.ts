import { DataStore, type Upload } from '@tus/utils'
import type { UploadRow } from '../ledger/uploads.ts'
import { appendContext } from './store/append-context.ts'
import { StorageAway } from './store/objects.ts'
import { UploadNotFound } from './store/outcomes.ts'
import type { UploadBooks } from './store/upload-books.ts'
import type { StoredRow } from './store/upload-bytes.ts'

/** A tus data store of one backend. */
export interface BackendStore extends DataStore {
  write(source: AsyncIterable<Uint8Array>, id: string, offset: number): Promise<number>
  /** How far the upload is, as read from the ledger just now. */
  offsetOf(row: UploadRow): Promise<number>
}

export type RoutedStoreOptions = {
  books: UploadBooks
  stores: Readonly<Record<string, BackendStore | undefined>>
  /** Fails where bytes cannot be stored by the backend of this row at the moment. */
  checkUsable: (row: StoredRow) => Promise<void>
}

/** tus data store of all uploads: each is written to and asked about where its row says, whatever is configured now. */
export class RoutedStore extends DataStore {
  readonly #options: RoutedStoreOptions

  constructor(options: RoutedStoreOptions) {
    super()
    this.#options = options
    const [store] = Object.values(options.stores)
    this.extensions = store?.extensions ?? []
  }

  override async create(upload: Upload): Promise<Upload> {
    return await this.#storeOf(this.#current()).create(upload)
  }

  override async getUpload(id: string): Promise<Upload> {
    const { books } = this.#options
    const row = await books.find(id)
    return books.describe(row, await this.#storeOf(row).offsetOf(row))
  }

  /** The backend may have no room for what is still to come then. */
  override async declareUploadLength(id: string, size: number): Promise<void> {
    await this.#storeOf(this.#current()).declareUploadLength(id, size)
  }

  override async write(source: AsyncIterable<Uint8Array>, id: string, offset: number): Promise<number> {
    const row = this.#current()
    await this.#options.checkUsable(row)
    return await this.#storeOf(row).write(source, id, offset)
  }

  override async remove(id: string): Promise<void> {
    await this.#options.books.terminate(id)
  }

  override async deleteExpired(): Promise<number> {
    throw new Error('expiry is decided by the ledger')
  }

  /** The upload of the running request. */
  #current(): UploadRow {
    const { upload } = appendContext()
    if (!upload) throw new UploadNotFound()
    return upload
  }

  #storeOf({ storage_backend: backend }: StoredRow): BackendStore {
    const store = this.#options.stores[backend]
    if (!store) throw new StorageAway({ cause: new Error(`no settings lead to the storage "${backend}"`) })
    return store
  }
}
