import type { Ledger } from '../ledger/database.ts'
import type { UploadId } from '../ledger/ids.ts'
import { DiskObjects } from './disk/disk-objects.ts'
import { DiskUploadBytes } from './disk/disk-upload-bytes.ts'
import type { Objects } from './objects.ts'
import { openS3, type S3, type S3Options } from './s3/s3.ts'
import { S3Objects } from './s3/s3-objects.ts'
import { S3UploadBytes } from './s3/s3-upload-bytes.ts'

/** When written bytes are forced to the disk: before every acknowledgement, before the last, or never. */
export type DiskSync = 'always' | 'finish' | 'never'

/** Where bytes live, as configured. */
export type StorageOptions =
  | { kind: 'disk'; directory: string; sync: DiskSync }
  | ({ kind: 's3' } & S3Options)

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

/** One opened storage, as server and worker share it. */
export type Storage = { objects: Objects; bytes: UploadBytes; close(): void } & (
  | { kind: 'disk'; disk: DiskObjects; sync: DiskSync }
  | { kind: 's3'; s3: S3 }
)

/** Opens the configured storage. The caller closes it. */
export async function openStorage(options: StorageOptions, db: Ledger): Promise<Storage> {
  if (options.kind === 'disk') {
    const disk = await DiskObjects.open(options.directory)
    return {
      kind: 'disk',
      objects: disk,
      bytes: new DiskUploadBytes(db, disk),
      disk,
      sync: options.sync,
      close() {},
    }
  }
  const s3 = openS3(options)
  return {
    kind: 's3',
    objects: new S3Objects(s3),
    bytes: new S3UploadBytes(db, s3),
    s3,
    close: () => s3.close(),
  }
}
