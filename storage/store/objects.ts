import type { Readable } from 'node:stream'
import type { ServedAs } from '../../content/served-as.ts'

/** Bytes `[start, end]` of an object, both inclusive, as in an HTTP range. */
export type ByteRange = { start: number; end: number }

export type ReadOptions = {
  range?: ByteRange
  /** Read only the object with this etag, not a later one. Null where it is not known. */
  etag?: string | null
}

export type LinkOptions = {
  method?: 'GET' | 'HEAD'
  /** How long the link is valid, from 1; not longer than some minutes in any case. */
  seconds?: number
}

/** A stream of bytes of known size. */
export type StreamedBody = { size: number; chunks: AsyncIterable<Uint8Array> }

/** Stored objects by key, in any backend. */
export interface Objects {
  /** The name of the backend in the ledger. */
  readonly backend: 'disk' | 's3'
  /** Reads an object or a part of it. Fails with `ObjectMissing`, also when the object was replaced. */
  read(key: string, options?: ReadOptions): Promise<Readable>
  /** Size in bytes; undefined when there is no such object. */
  sizeOf(key: string): Promise<number | undefined>
  /** Stores a small object durably, and replaces one of the same key atomically. */
  put(key: string, bytes: Uint8Array, servedAs: ServedAs): Promise<void>
  /**
   * The same with a local file, which must not change meanwhile. Fails with `ObjectTooLarge` before anything is stored.
   */
  putFile(key: string, path: string, servedAs: ServedAs, signal?: AbortSignal): Promise<void>
  /**
   * The same with a stream of any size, part by part in memory. Returns the etag, where objects have one. Fails, and
   * stores nothing, when the size is not as declared.
   */
  putStream(key: string, body: StreamedBody, servedAs: ServedAs, signal: AbortSignal): Promise<string | null>
  /**
   * Copies `from` to `to` without reading the bytes here. Fails with `ObjectMissing`, also when the object with this
   * etag was replaced.
   */
  copy(from: string, to: string, servedAs: ServedAs, etag?: string | null): Promise<void>
  /** Removes an object; a missing one is no error. */
  remove(key: string): Promise<void>
  /**
   * Removes several objects in parallel or by one call. Fails when one of them could not be removed; others may be
   * removed then.
   */
  removeMany(keys: readonly string[]): Promise<void>
  /** Removes what a copy to this key has made, complete or not. */
  removeCopy(key: string): Promise<void>
  /** What ffmpeg and other tools open: a path, or an address that is valid for some minutes. */
  toolInput(key: string): Promise<string>
  /**
   * A link by which a browser can fetch the object for some minutes, with this method only; undefined where the server
   * has to send it.
   */
  link(key: string, servedAs: ServedAs, options?: LinkOptions): Promise<string | undefined>
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

/** The disk or the bucket is full. */
export class StorageFull extends Error {
  constructor(options?: ErrorOptions) {
    super('storage is full', options)
    this.name = 'StorageFull'
  }
}

/** The storage does not answer now, or not sensibly. */
export class StorageUnavailable extends Error {
  constructor(options?: ErrorOptions) {
    super('the storage is unavailable', options)
    this.name = 'StorageUnavailable'
  }
}

/** Acknowledged bytes are missing in the storage: no retry brings them back. */
export class BytesLost extends Error {
  override readonly name = 'BytesLost'
}
