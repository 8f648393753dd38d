import type { DataStore } from '@tus/utils'
import type { Ledger } from '../ledger/database.ts'
import type { Commits } from './commits.ts'
import { DiskStore } from './disk/disk-store.ts'
import { S3LedgerStore } from './s3/s3-ledger-store.ts'
import type { Storage } from './storage.ts'
import { UploadBooks } from './upload-books.ts'

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
): { store: DataStore; close(): Promise<void> } {
  const books = new UploadBooks(options)
  if (storage.kind === 'disk') {
    const { disk: objects, sync } = storage
    return { store: new DiskStore({ ...options, books, objects, sync }), async close() {} }
  }
  const { objects, s3 } = storage
  const store = new S3LedgerStore({ ...options, books, objects, s3 })
  return { store, close: () => store.close() }
}
