import type { UploadId } from '../../ledger/ids.ts'
import type { Backend } from '../../ledger/storage-places.ts'
import type { Objects } from './objects.ts'

/** When written bytes are forced to the disk: before every acknowledgement, before the last, or never. */
export type DiskSync = 'always' | 'finish' | 'never'

/** What is done with an upload's bytes outside of requests. */
export interface UploadBytes {
  /**
   * Assembles the bytes of a received upload to one object under its storage key. Idempotent. Fails with `BytesLost`
   * when acknowledged bytes are lost.
   */
  assemble(uploadId: UploadId): Promise<{ size: number; etag: string | null }>
  /** Removes everything that an ended upload may have left, except for renditions. Idempotent. */
  discard(uploadId: UploadId): Promise<void>
  /** Removes a second time what a late call may have stored after the removal. Never touches what counts. */
  sweep(uploadId: UploadId): Promise<void>
}

/** The same for uploads in any backend. */
export interface RoutedUploadBytes extends UploadBytes {
  /**
   * Moves a finished partial upload to the backend where a concatenation needs it. Fails with `BytesLost` when it is
   * not what was received, and with `StorageUnavailable` while another process moves it.
   */
  bring(uploadId: UploadId, to: Backend): Promise<void>
}

/** A row of the ledger that names the backend of its bytes. */
export type StoredRow = { storage_backend: string }

/** Everything that holds bytes. */
export interface Backends {
  /** The objects of the backend that a row names. Fails with `StorageUnavailable` where that cannot be used now. */
  objectsOf(row: StoredRow): Promise<Objects>
  /** The same of uploads. */
  bytesOf(row: StoredRow): Promise<UploadBytes>
  /**
   * Runs work that enters something into the ledger for which a backend will get so many bytes. Fails with
   * `StorageFull` where the disk has no space for them; of a bucket that is not known before.
   */
  enter<Result>(backend: Backend, bytes: number, work: () => Promise<Result>): Promise<Result>
}
