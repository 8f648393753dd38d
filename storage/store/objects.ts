import type { Readable } from 'node:stream'
import type { ServedAs } from '../../content/served-as.ts'

/** Bytes `[start, end]` of an object, both inclusive, as in an HTTP range. */
export type ByteRange = { start: number; end: number }

export type ReadOptions = {
  range?: ByteRange
  /** The object as it was when we last looked; one that was replaced since is not read. Null where it is not known. */
  etag?: string | null
}

/** Bytes that come by and by, of which it is known how many they are. */
export type StreamedBody = { size: number; chunks: AsyncIterable<Uint8Array> }

/** Stored objects by key, whatever they are stored in. */
export interface Objects {
  /** Names the backend in the ledger. */
  readonly backend: 'disk' | 's3'
  /** Reads an object or a part of it. Fails with `ObjectMissing`, also when the object has been replaced. */
  read(key: string, options?: ReadOptions): Promise<Readable>
  /** Size in bytes; undefined when there is no such object. */
  sizeOf(key: string): Promise<number | undefined>
  /** Stores a whole small object durably, replacing one of the same key at once. */
  put(key: string, bytes: Uint8Array, servedAs: ServedAs): Promise<void>
  /**
   * The same with the bytes of a file of this machine, which nobody changes meanwhile. Fails with `ObjectTooLarge`
   * before anything is stored.
   */
  putFile(key: string, path: string, servedAs: ServedAs, signal?: AbortSignal): Promise<void>
  /**
   * The same with bytes that come by and by, however many, a part at a time in memory. Returns the etag, where objects
   * have one. Fails, and stores nothing, when they are not as many as was said.
   */
  putStream(key: string, body: StreamedBody, servedAs: ServedAs, signal: AbortSignal): Promise<string | null>
  /**
   * Makes `to` the same object as `from`, without its bytes passing through here. Fails with `ObjectMissing`,
   * also when the object with this etag has been replaced.
   */
  copy(from: string, to: string, servedAs: ServedAs, etag?: string | null): Promise<void>
  /** Removes an object; one that is not there is no error. */
  remove(key: string): Promise<void>
  /** Removes several side by side or by one call. Fails when one of them could not be removed; then others may be. */
  removeMany(keys: readonly string[]): Promise<void>
  /** Removes what a copy to this key has made, be it whole or only begun. */
  removeCopy(key: string): Promise<void>
  /** What ffmpeg and other tools open to read the object: a path, or an address that works for some minutes. */
  toolInput(key: string): Promise<string>
  /**
   * An address from which a browser can fetch the object for some minutes, with this method only; undefined
   * where it has to come from us.
   */
  link(key: string, servedAs: ServedAs, method?: 'GET' | 'HEAD'): Promise<string | undefined>
  /** Throws when objects cannot be stored. */
  checkWritable(): Promise<void>
}

export class ObjectMissing extends Error {
  constructor(key: string, options?: ErrorOptions) {
    super(`no object ${key}`, options)
    this.name = 'ObjectMissing'
  }
}

/** The storage takes no object of this size in one piece. */
export class ObjectTooLarge extends Error {
  constructor(size: number, most: number) {
    super(`an object of ${size} bytes cannot be stored in one piece; ${most} can`)
    this.name = 'ObjectTooLarge'
  }
}

/** The disk or the bucket has no room left. */
export class StorageFull extends Error {
  constructor(options?: ErrorOptions) {
    super('storage is full', options)
    this.name = 'StorageFull'
  }
}

/** The storage does not answer, or not sensibly, for now. */
export class StorageUnavailable extends Error {
  constructor(options?: ErrorOptions) {
    super('the storage is unavailable', options)
    this.name = 'StorageUnavailable'
  }
}

/** Bytes that were acknowledged are not in the storage any more: no retry brings them back. */
export class BytesLost extends Error {
  constructor(what: string, options?: ErrorOptions) {
    super(what, options)
    this.name = 'BytesLost'
  }
}
