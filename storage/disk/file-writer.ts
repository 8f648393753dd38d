import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isCode } from '../../system/error-code.ts'
import { freeChunk } from '../../system/free-chunk.ts'
import { StorageUnavailable } from '../store/objects.ts'
import { LeaseLost } from '../store/outcomes.ts'
import { DirectorySyncs } from './directory-syncs.ts'
import { translateDiskError } from './disk-objects.ts'

/**
 * Chunks are gathered, so that one system call writes several: half of this, and up to all of it where the client sends
 * faster than the disk writes. Requests of 5 MiB take a third less CPU than with calls of 128 KiB.
 */
const GATHERED_BYTES = 512 * 1024
const LEAST_GATHERED_BYTES = 256 * 1024
/** What all writers together may gather, as long as that leaves the least for each. */
const GATHERED_BYTES_OF_ALL = 32 * 1024 * 1024

const CREATE_EMPTY = constants.O_CREAT | constants.O_TRUNC
const DONE = Promise.resolve()

/** What the writers of a store share. */
export class Writers {
  readonly directories = new DirectorySyncs()
  open = 0

  /** How much each may gather at most; a write begins with half of it. */
  get gatheredBytes(): number {
    return Math.max(LEAST_GATHERED_BYTES, Math.min(GATHERED_BYTES, GATHERED_BYTES_OF_ALL / this.open))
  }
}

/** `mayWrite` is asked before each write. */
export type Opening = { offset: number; writers: Writers; mayWrite: () => boolean }

/** Writes bytes one after the other into a file, from a given offset on, while more arrive. */
export class FileWriter {
  readonly #handle: FileHandle
  readonly #writers: Writers
  readonly #mayWrite: () => boolean
  /** Until the name of a new file would survive a crash. */
  readonly #named: Promise<void>
  #gathered: Uint8Array[] = []
  #gatheredBytes = 0
  /** The write in progress. It never rejects: a failure is kept in `#failure`. */
  #writing: Promise<void> | undefined
  #failure: { error: unknown } | undefined
  #offset: number

  private constructor(handle: FileHandle, { offset, writers, mayWrite }: Opening, named: Promise<void>) {
    this.#handle = handle
    this.#offset = offset
    this.#writers = writers
    this.#mayWrite = mayWrite
    this.#named = named
    writers.open += 1
    // It fails where it is waited for, which may be never.
    named.catch(() => {})
  }

  /**
   * Opens the file for writing at `offset`, creating it when that is the beginning, and cuts off what an
   * unacknowledged request may have left behind that offset.
   */
  static async open(path: string, opening: Opening): Promise<FileWriter> {
    const { offset, writers } = opening
    const isNew = offset === 0
    const failed = (error: unknown): never => {
      // Not the file is missing but its directory: the disk is not mounted.
      if (isNew && isCode(error, 'ENOENT')) throw new StorageUnavailable({ cause: error })
      throw translateDiskError(error)
    }
    const handle = await open(path, constants.O_RDWR | (isNew ? CREATE_EMPTY : 0), 0o600).catch(failed)
    try {
      if (!isNew && (await handle.stat()).size > offset) await handle.truncate(offset)
    } catch (error) {
      await handle.close()
      return failed(error)
    }
    // Beside the writing: nobody has to know the name before the ledger counts the bytes.
    const named = isNew ? writers.directories.sync(dirname(path)).catch(failed) : DONE
    return new FileWriter(handle, opening, named)
  }

  /** The offset behind the last byte handed to the operating system. */
  get offset(): number {
    return this.#offset
  }

  /**
   * Takes a chunk over, to free it once it is written; resolves when there is room for the next. Fails like `flush`
   * where an earlier write did.
   */
  async write(chunk: Uint8Array): Promise<void> {
    this.#gathered.push(chunk)
    this.#gatheredBytes += chunk.byteLength
    const most = this.#writers.gatheredBytes
    if (this.#gatheredBytes >= most) await this.#writing
    if (this.#gatheredBytes >= most / 2) this.#writing ??= this.#writeGathered(most / 2)
    if (this.#failure) await this.flush()
  }

  /**
   * Hands everything gathered to the operating system. Fails with `LeaseLost` when writing is not allowed any more, and
   * with `StorageFull` or `StorageUnavailable`. After a failure nothing more is written, and it fails again.
   */
  async flush(): Promise<void> {
    await this.#writing
    await this.#writeGathered(1)
    if (this.#failure) throw this.#failure.error
  }

  /** Gives back the room of what lies behind an offset: bytes that do not count. */
  async cutOff(offset: number): Promise<void> {
    if (this.#offset <= offset) return
    await this.#handle.truncate(offset)
    this.#offset = offset
  }

  /** Returns when the file, with every byte up to `offset`, would survive a power cut. */
  async sync(): Promise<void> {
    try {
      await Promise.all([this.#handle.datasync(), this.#named])
    } catch (error) {
      throw translateDiskError(error)
    }
  }

  /** Returns when the file would survive a power cut, with whatever bytes. */
  async syncName(): Promise<void> {
    await this.#named
  }

  async close(): Promise<void> {
    this.#writers.open -= 1
    await this.#writing
    await this.#handle.close()
  }

  /** Writes until less than this is gathered. */
  async #writeGathered(bytes: number): Promise<void> {
    while (this.#gatheredBytes >= bytes) {
      const chunks = this.#gathered
      this.#gathered = []
      this.#gatheredBytes = 0
      await this.#writeAll(chunks).catch((error: unknown) => {
        this.#failure ??= { error }
      })
      for (const chunk of chunks) freeChunk(chunk)
    }
    this.#writing = undefined
  }

  async #writeAll(chunks: readonly Uint8Array[]): Promise<void> {
    let pending = chunks
    while (pending.length > 0 && !this.#failure) {
      if (!this.#mayWrite()) throw new LeaseLost()
      try {
        const { bytesWritten } = await this.#handle.writev(pending, this.#offset)
        this.#offset += bytesWritten
        pending = skipBytes(pending, bytesWritten)
      } catch (error) {
        throw translateDiskError(error)
      }
    }
  }
}

function skipBytes(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  let left = count
  let index = 0
  for (; index < chunks.length; index++) {
    const length = chunks[index]?.byteLength ?? 0
    if (left < length) break
    left -= length
  }
  const rest = chunks.slice(index)
  if (left > 0 && rest[0]) rest[0] = rest[0].subarray(left)
  return rest
}
