import { dirname, join } from 'node:path'
import type { Ledger } from '../ledger/database.ts'
import type { UploadId } from '../ledger/ids.ts'
import { type Backend, isHolding } from '../ledger/storage-places.ts'
import { DiskObjects } from './disk/disk-objects.ts'
import { DiskSpace, NO_ROOM } from './disk/disk-space.ts'
import { DiskUploadBytes } from './disk/disk-upload-bytes.ts'
import { FileSystem } from './disk/file-system.ts'
import { type Objects, StorageAway, StorageFull } from './objects.ts'
import { OpenPlace } from './open-place.ts'
import { withoutBucket } from './places.ts'
import { RoutedBytes } from './routed-bytes.ts'
import { openS3, type S3, type S3Options } from './s3/s3.ts'
import { S3Objects } from './s3/s3-objects.ts'
import { S3UploadBytes } from './s3/s3-upload-bytes.ts'

/** When written bytes are forced to the disk: before every acknowledgement, before the last, or never. */
export type DiskSync = 'always' | 'finish' | 'never'

/** Where bytes live, as configured. */
export type StorageOptions = {
  /** Where new uploads go. What was stored elsewhere is served from there. */
  primary: Backend
  disk: { directory: string; sync: DiskSync }
  /** Templates of what storage keys begin with. */
  keyPrefixes: Readonly<Record<Backend, string>>
  /** Undefined where no bucket is configured. `markerPrefix`: what the key of its marker begins with. */
  s3: (S3Options & { markerPrefix: string }) | undefined
}

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
export interface BytesAnywhere extends UploadBytes {
  /**
   * Moves a finished partial upload to where a concatenation needs it. Fails with `BytesLost` when it is not what was
   * received, and with `StorageAway` while another process moves it.
   */
  bring(uploadId: UploadId, to: Backend): Promise<void>
}

/** A row of the ledger that says by which backend its bytes are stored. */
export type StoredRow = { storage_backend: string }

type DiskPart = {
  place: OpenPlace
  objects: DiskObjects
  bytes: UploadBytes
  space: DiskSpace
  sync: DiskSync
}
type S3Part = { place: OpenPlace; objects: Objects; bytes: UploadBytes; s3: S3 }

export type OpenOptions = {
  /** Told of what is found out about a place after the start. */
  onError?: (error: unknown) => void
  /** Used though nothing is there yet. */
  target?: Backend
}

/**
 * Everything that this process can reach of what the ledger names, as server, worker and commands share it. To
 * read or write bytes, ask for the backend that their row names.
 */
export class Storage {
  readonly primary: Backend
  readonly disk: DiskPart
  readonly s3: S3Part | undefined
  /** Of any upload, wherever it is stored. */
  readonly bytes: UploadBytes

  private constructor(
    primary: Backend,
    parts: { disk: DiskPart; s3: S3Part | undefined },
    bytes: UploadBytes,
  ) {
    this.primary = primary
    this.disk = parts.disk
    this.s3 = parts.s3
    this.bytes = bytes
  }

  /**
   * Opens what the settings lead to. The caller closes it. Fails with `StorageChanged` when the ledger needs anything
   * that they do not lead to. A bucket that does not answer is looked at again when it is used.
   */
  static async open(options: StorageOptions, db: Ledger, more: OpenOptions = {}): Promise<Storage> {
    const onError = more.onError ?? (() => {})
    const bytes: BytesAnywhere = new RoutedBytes(db, () => storage, options.keyPrefixes)
    const storage: Storage = new Storage(
      options.primary,
      {
        disk: openDisk(options.disk, db, bytes, onError),
        s3: options.s3 && openBucket(options.s3, db, bytes, onError),
      },
      bytes,
    )
    try {
      const isUsed = async (backend: Backend) =>
        backend === options.primary || backend === more.target || (await isHolding(db, backend))
      if (await isUsed('disk')) await storage.disk.place.verify()
      if (await isUsed('s3')) {
        if (!storage.s3) throw await withoutBucket(db)
        await storage.s3.place.verifyIfItAnswers()
      }
    } catch (error) {
      storage.close()
      throw error
    }
    return storage
  }

  /** The objects of the backend that a row names. Fails with `StorageAway` where that cannot be used at the moment. */
  async objectsOf(row: StoredRow): Promise<Objects> {
    return (await this.#partOf(row)).objects
  }

  /** The same of uploads. */
  async bytesOf(row: StoredRow): Promise<UploadBytes> {
    return (await this.#partOf(row)).bytes
  }

  /** Fails with `StorageAway` where the backend that a row names cannot be used at the moment. */
  async checkUsable(row: StoredRow): Promise<void> {
    await this.#partOf(row)
  }

  /**
   * Enters into the ledger something for which so many bytes are to come to a backend. Fails with `StorageFull` where
   * they have no room there; of a bucket nobody knows that before.
   */
  async enter<Result>(backend: Backend, bytes: number, work: () => Promise<Result>): Promise<Result> {
    if (backend !== 'disk') return await work()
    const outcome = await this.disk.space.enter(async (claim) =>
      claim(bytes) ? { result: await work() } : NO_ROOM,
    )
    if ('result' in outcome) return outcome.result
    throw new StorageFull()
  }

  /** Throws when new objects cannot be stored, or what is elsewhere cannot be reached. */
  async checkWritable(): Promise<void> {
    for (const part of [this.disk, this.s3]) {
      if (!part || (part !== this[this.primary] && !part.place.isVerified)) continue
      await part.place.checkUsable()
      await part.objects.checkWritable()
    }
  }

  close(): void {
    this.s3?.s3.close()
  }

  async #partOf({ storage_backend: backend }: StoredRow): Promise<DiskPart | S3Part> {
    const part = backend === 'disk' ? this.disk : backend === 's3' ? this.s3 : undefined
    if (!part) throw new StorageAway({ cause: new Error(`no settings lead to the storage "${backend}"`) })
    await part.place.checkUsable()
    return part
  }
}

/** Opens the configured storage: see `Storage.open`. */
export const openStorage = Storage.open

function openDisk(
  { directory, sync }: StorageOptions['disk'],
  db: Ledger,
  bytes: BytesAnywhere,
  onError: (error: unknown) => void,
): DiskPart {
  const objects = new DiskObjects(directory)
  const name = { setting: 'DATA_DIR', value: dirname(directory), shown: directory } as const
  const prepare = () => objects.prepare()
  const place = new OpenPlace(db, { backend: 'disk', objects, name, markerPrefix: '' }, { onError, prepare })
  const scratch = join(dirname(directory), 'scratch')
  const fileSystem = new FileSystem(objects.directory)
  const space = new DiskSpace({ db, objects, fileSystem, scratch, onError })
  return { place, objects, bytes: new DiskUploadBytes(db, objects, bytes), space, sync }
}

function openBucket(
  options: S3Options & { markerPrefix: string },
  db: Ledger,
  bytes: BytesAnywhere,
  onError: (error: unknown) => void,
): S3Part {
  const s3 = openS3(options)
  const objects = new S3Objects(s3)
  const name = { setting: 'S3_BUCKET', value: options.bucket, shown: `bucket ${options.bucket}` } as const
  const { markerPrefix } = options
  const place = new OpenPlace(
    db,
    { backend: 's3', objects, name, markerPrefix },
    { onError, prepare: async () => {} },
  )
  return { place, objects, bytes: new S3UploadBytes(db, s3, bytes), s3 }
}
