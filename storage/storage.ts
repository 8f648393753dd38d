import { dirname, join } from 'node:path'
import type { Ledger } from '../ledger/database.ts'
import { type Backend, isBackendInUse } from '../ledger/storage-places.ts'
import { DiskObjects } from './disk/disk-objects.ts'
import { DiskSpace, NO_ROOM } from './disk/disk-space.ts'
import { DiskUploadBytes } from './disk/disk-upload-bytes.ts'
import { FileSystem } from './disk/file-system.ts'
import { OpenPlace } from './open-place.ts'
import { bucketMissing } from './places.ts'
import { RoutedBytes } from './routed-bytes.ts'
import { DirectBytes } from './s3/direct-bytes.ts'
import { LinkProbe } from './s3/link-probe.ts'
import { S3 } from './s3/s3.ts'
import type { S3Options } from './s3/s3-client.ts'
import { S3Objects } from './s3/s3-objects.ts'
import { S3UploadBytes } from './s3/s3-upload-bytes.ts'
import { type Objects, StorageFull, StorageUnavailable } from './store/objects.ts'
import type { Backends, DiskSync, RoutedUploadBytes, StoredRow, UploadBytes } from './store/upload-bytes.ts'

/** Where bytes live, as configured. */
export type StorageOptions = {
  /** Backend of new uploads. Existing ones are served from theirs. */
  primary: Backend
  disk: { directory: string; sync: DiskSync }
  /** Templates of the prefixes of storage keys. */
  keyPrefixes: Readonly<Record<Backend, string>>
  /** Undefined where no bucket is configured. `markerPrefix`: prefix of the key of its marker. */
  s3: (S3Options & { markerPrefix: string }) | undefined
}

type DiskPart = {
  place: OpenPlace
  objects: DiskObjects
  bytes: UploadBytes
  space: DiskSpace
  sync: DiskSync
}
type S3Part = {
  place: OpenPlace
  objects: Objects
  bytes: UploadBytes
  direct: DirectBytes
  linkProbe: LinkProbe
  s3: S3
}

export type OpenOptions = {
  /** Called with failures of the verification after the start. */
  onError?: (error: unknown) => void
  /** Opened even where nothing is stored in it yet. */
  target?: Backend
}

/**
 * All storage that this process can reach, shared by server, worker and commands. To read or write bytes, ask for the
 * backend that their row names.
 */
export class Storage implements Backends {
  readonly primary: Backend
  readonly disk: DiskPart
  readonly s3: S3Part | undefined
  /** For uploads in any backend. */
  readonly bytes: UploadBytes

  private constructor(options: StorageOptions, db: Ledger, onError: (error: unknown) => void) {
    const bytes = new RoutedBytes(db, () => this, options.keyPrefixes)
    this.primary = options.primary
    this.disk = openDisk(options.disk, db, bytes, onError)
    this.s3 =
      options.s3 && openBucket({ ...options.s3, keyPrefix: options.keyPrefixes.s3 }, db, bytes, onError)
    this.bytes = bytes
  }

  /**
   * Opens the configured storage. The caller closes it. Fails with `StorageChanged` when the settings do not lead to
   * everything that the ledger needs. A bucket that does not answer is verified when it is used.
   */
  static async open(options: StorageOptions, db: Ledger, more: OpenOptions = {}): Promise<Storage> {
    const storage = new Storage(options, db, more.onError ?? (() => {}))
    try {
      const isUsed = async (backend: Backend) =>
        backend === options.primary || backend === more.target || (await isBackendInUse(db, backend))
      if (await isUsed('disk')) await storage.disk.place.verify()
      if (await isUsed('s3')) {
        if (!storage.s3) throw await bucketMissing(db)
        await storage.s3.place.verifyIfItAnswers()
      }
    } catch (error) {
      storage.close()
      throw error
    }
    return storage
  }

  /** See `Backends`. */
  async objectsOf(row: StoredRow): Promise<Objects> {
    return (await this.#partOf(row)).objects
  }

  /** The same of uploads. */
  async bytesOf(row: StoredRow): Promise<UploadBytes> {
    return (await this.#partOf(row)).bytes
  }

  /** Fails with `StorageUnavailable` where the backend of a row cannot be used now. */
  async checkUsable(row: StoredRow): Promise<void> {
    await this.#partOf(row)
  }

  /** See `Backends`. */
  async enter<Result>(backend: Backend, bytes: number, work: () => Promise<Result>): Promise<Result> {
    if (backend !== 'disk') return await work()
    const outcome = await this.disk.space.enter(async (claim) =>
      claim(bytes) ? { result: await work() } : NO_ROOM,
    )
    if ('result' in outcome) return outcome.result
    throw new StorageFull()
  }

  /** Throws when new objects cannot be stored, or the other backend cannot be reached. */
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
    if (!part)
      throw new StorageUnavailable({ cause: new Error(`no settings lead to the storage "${backend}"`) })
    await part.place.checkUsable()
    return part
  }
}

/** Opens the configured storage: see `Storage.open`. */
export const openStorage = Storage.open

function openDisk(
  { directory, sync }: StorageOptions['disk'],
  db: Ledger,
  bytes: RoutedUploadBytes,
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
  options: S3Options & { markerPrefix: string; keyPrefix: string },
  db: Ledger,
  bytes: RoutedUploadBytes,
  onError: (error: unknown) => void,
): S3Part {
  const s3 = new S3(options)
  const objects = new S3Objects(s3)
  const name = { setting: 'S3_BUCKET', value: options.bucket, shown: `bucket ${options.bucket}` } as const
  const { markerPrefix } = options
  const place = new OpenPlace(
    db,
    { backend: 's3', objects, name, markerPrefix },
    { onError, prepare: async () => {} },
  )
  return {
    place,
    objects,
    bytes: new S3UploadBytes(db, s3, bytes),
    direct: new DirectBytes(db, s3),
    linkProbe: new LinkProbe(db, s3, options.keyPrefix, onError),
    s3,
  }
}
