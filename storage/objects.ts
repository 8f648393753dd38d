import type { Readable } from 'node:stream'

/** Bytes `[start, end]` of an object, both inclusive, as in an HTTP range. */
export type ByteRange = { start: number; end: number }

/** Stored objects by key, whatever they are stored in. */
export interface Objects {
  /** Names the backend in the ledger. */
  readonly backend: string
  /** Reads an object or a part of it. Fails with `ObjectMissing`. */
  read(key: string, range?: ByteRange): Promise<Readable>
  /** Size in bytes; undefined when there is no such object. */
  sizeOf(key: string): Promise<number | undefined>
  /** Stores a whole small object durably, replacing one of the same key at once. */
  put(key: string, bytes: Uint8Array): Promise<void>
  /** Removes an object; one that is not there is no error. */
  remove(key: string): Promise<void>
  /** What ffmpeg and other tools open to read the object: a path. */
  toolInput(key: string): Promise<string>
  /** Throws when objects cannot be stored. */
  checkWritable(): Promise<void>
}

export class ObjectMissing extends Error {
  constructor(key: string, options?: ErrorOptions) {
    super(`no object ${key}`, options)
    this.name = 'ObjectMissing'
  }
}

/** The disk or the bucket has no room left. */
export class StorageFull extends Error {
  constructor(options?: ErrorOptions) {
    super('storage is full', options)
    this.name = 'StorageFull'
  }
}
