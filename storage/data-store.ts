import type { Ledger } from '../ledger/database.ts'
import { DiskStore } from './disk/disk-store.ts'
import { RoutedStore } from './routed-store.ts'
import { S3LedgerStore } from './s3/s3-ledger-store.ts'
import type { Storage } from './storage.ts'
import type { Commits } from './store/commits.ts'
import { UploadBooks } from './store/upload-books.ts'

export type DataStoreOptions = {
  db: Ledger
  commits: Commits
  /** Bytes of the largest upload. */
  maxSize: number
  onError: (error: unknown) => void
}

/** The tus data store of an opened storage. Closing it waits for what goes on behind the requests. */
export function openDataStore(
  storage: Storage,
  options: DataStoreOptions,
): { store: RoutedStore; close(): Promise<void> } {
  const books = new UploadBooks(options)
  const disk = new DiskStore({ ...options, ...storage.disk, books })
  const s3 = storage.s3 && new S3LedgerStore({ ...options, ...storage.s3, books })
  const store = new RoutedStore({
    books,
    stores: { disk, s3 },
    checkUsable: (row) => storage.checkUsable(row),
  })
  return {
    store,
    async close() {
      await s3?.close()
    },
  }
}
