import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isCode } from '../../system/error-code.ts'
import { freeChunk } from '../../system/free-chunk.ts'
import { StorageUnavailable } from '../store/objects.ts'
import { LeaseLost } from '../store/outcomes.ts'
import type { DirectorySyncs } from './directory-syncs.ts'
import { translateDiskError } from './disk-objects.ts'

/**
 * Chunks are gathered up to this size, so that one system call writes several. Not more: what is twice as
 * large cost the kernel twice the CPU for every byte where it was measured.
 */
const GATHER_BYTES = 128 * 1024

const CREATE_EMPTY = constants.O_CREAT | constants.O_TRUNC
const DONE = Promise.resolve()

/** Writes bytes one after the other into a file, from a given offset on. */
export class FileWriter {
  readonly #handle: FileHandle
  /** Until the name of a new file would survive a crash. */
  readonly #named: Promise<void>
  #gathered: Uint8Array[] = []
  #gatheredBytes = 0
  #written: number

  private constructor(handle: FileHandle, offset: number, named: Promise<void>) {
    this.#handle = handle
    this.#written = offset
    this.#named = named
    // It fails where it is waited for, which may be never.
    named.catch(() => {})
  }

  /**
   * Opens the file for writing at `offset`, creating it when that is the beginning, and cuts off what an
   * unacknowledged request may have left behind that offset.
   */
  static async open(path: string, offset: number, directories: DirectorySyncs): Promise<FileWriter> {
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
    return new FileWriter(handle, offset, isNew ? directories.sync(dirname(path)).catch(failed) : DONE)
  }

  /** The offset behind the last byte handed to the operating system. */
  get written(): number {
    return this.#written
  }

  /**
   * Takes a chunk over, to free it once it is written; resolves when there is room for the next.
   * `mayWrite` is asked before each write.
   */
  async write(chunk: Uint8Array, mayWrite: () => boolean): Promise<void> {
    this.#gathered.push(chunk)
    this.#gatheredBytes += chunk.byteLength
    if (this.#gatheredBytes >= GATHER_BYTES) await this.flush(mayWrite)
  }

  /**
   * Hands everything gathered to the operating system. Fails with `LeaseLost` when writing is not allowed
   * any more; what was gathered is then dropped, so nothing may be written after it.
   */
  async flush(mayWrite: () => boolean): Promise<void> {
    const chunks = this.#gathered
    this.#gathered = []
    this.#gatheredBytes = 0
    try {
      await this.#writeAll(chunks, mayWrite)
    } finally {
      for (const chunk of chunks) freeChunk(chunk)
    }
  }

  /** Gives back the room of what lies behind an offset: bytes that do not count. */
  async cutOff(offset: number): Promise<void> {
    if (this.#written <= offset) return
    await this.#handle.truncate(offset)
    this.#written = offset
  }

  /** Returns when the file, with every byte up to `written`, would survive a power cut. */
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
    await this.#handle.close()
  }

  async #writeAll(chunks: readonly Uint8Array[], mayWrite: () => boolean): Promise<void> {
    let pending = chunks
    while (pending.length > 0) {
      if (!mayWrite()) throw new LeaseLost()
      try {
        const { bytesWritten } = await this.#handle.writev(pending, this.#written)
        this.#written += bytesWritten
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
