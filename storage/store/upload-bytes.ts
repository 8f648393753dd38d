import type { UploadId } from '../../ledger/ids.ts'
import type { Backend } from '../../ledger/storage-places.ts'
import type { Objects } from './objects.ts'

/** When written bytes are forced to the disk: before every acknowledgement, before the last, or never. */
export type DiskSync = 'always' | 'finish' | 'never'

/** What becomes of an upload's bytes besides the requests that bring them. */
export interface UploadBytes {
  /**
   * Makes the bytes of a received upload one object under its storage key. Done again it changes nothing.
   * Fails with `BytesLost` when acknowledged bytes are gone for good.
   */
  assemble(uploadId: UploadId): Promise<{ size: number; etag: string | null }>
  /** Removes everything that an ended upload may have left, renditions aside. Done again it changes nothing. */
  discard(uploadId: UploadId): Promise<void>
  /** Removes a second time what a call may have made after it was removed. Never touches what counts. */
  sweep(uploadId: UploadId): Promise<void>
}

/** The same of uploads wherever they are. */
export interface RoutedUploadBytes extends UploadBytes {
  /**
   * Moves a finished partial upload to where a concatenation needs it. Fails with `BytesLost` when it is not what was
   * received, and with `StorageUnavailable` while another process moves it.
   */
  bring(uploadId: UploadId, to: Backend): Promise<void>
}

/** A row of the ledger that says by which backend its bytes are stored. */
export type StoredRow = { storage_backend: string }

/** Everything that holds bytes. */
export interface Backends {
  /** The objects of the backend that a row names. Fails with `StorageUnavailable` where that cannot be used at the moment. */
  objectsOf(row: StoredRow): Promise<Objects>
  /** The same of uploads. */
  bytesOf(row: StoredRow): Promise<UploadBytes>
  /**
   * Enters into the ledger something for which so many bytes are to come to a backend. Fails with `StorageFull` where
   * they have no room there; of a bucket nobody knows that before.
   */
  enter<Result>(backend: Backend, bytes: number, work: () => Promise<Result>): Promise<Result>
}
