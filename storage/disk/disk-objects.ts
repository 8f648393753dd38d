import { randomUUID } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { access, mkdir, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import type { Readable } from 'node:stream'
import { type ByteRange, ObjectMissing, type Objects, StorageFull } from '../objects.ts'

const isCode = (error: unknown, ...codes: string[]): boolean =>
  error instanceof Error && 'code' in error && codes.includes(String(error.code))

/** A write error as the rest of the house knows it. */
export function translateWriteError(error: unknown): unknown {
  return isCode(error, 'ENOSPC', 'EDQUOT') ? new StorageFull({ cause: error }) : error
}

/** Makes a new or renamed directory entry survive a crash. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Objects as files below one directory. */
export class DiskObjects implements Objects {
  readonly backend = 'disk'
  readonly directory: string

  private constructor(directory: string) {
    this.directory = directory
  }

  /** Opens the store, creating its directories. */
  static async open(directory: string): Promise<DiskObjects> {
    const objects = new DiskObjects(resolve(directory))
    for (const room of ['uploads', 'renditions'])
      await mkdir(join(objects.directory, room), { recursive: true })
    await syncDirectory(objects.directory)
    return objects
  }

  /** The file of a key. Keys are ours; one that would leave the directory is a bug. */
  pathOf(key: string): string {
    const path = resolve(this.directory, key)
    if (!path.startsWith(this.directory + sep)) throw new Error('key leaves the store')
    return path
  }

  async read(key: string, range?: ByteRange): Promise<Readable> {
    const handle = await open(this.pathOf(key), 'r').catch((error: unknown) => {
      throw isCode(error, 'ENOENT') ? new ObjectMissing(key, { cause: error }) : error
    })
    // The stream closes the handle when it ends or is destroyed.
    return createReadStream('', { fd: handle, highWaterMark: 256 * 1024, ...range })
  }

  async sizeOf(key: string): Promise<number | undefined> {
    try {
      return (await stat(this.pathOf(key))).size
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined
      throw error
    }
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    const path = this.pathOf(key)
    const temporary = `${path}.${randomUUID()}.tmp`
    try {
      await mkdir(dirname(path), { recursive: true })
      const handle = await open(temporary, 'wx')
      try {
        await handle.writeFile(bytes)
        await handle.datasync()
      } finally {
        await handle.close()
      }
      await rename(temporary, path)
      await syncDirectory(dirname(path))
    } catch (error) {
      await rm(temporary, { force: true })
      throw translateWriteError(error)
    }
  }

  async remove(key: string): Promise<void> {
    const path = this.pathOf(key)
    await rm(path, { force: true })
    const parent = dirname(path)
    if (dirname(parent) !== join(this.directory, 'renditions')) return
    // A media's renditions have a directory of their own: the last one out removes it, and with it what
    // a worker that was killed in mid-write has left.
    await removeTemporaries(parent, `${basename(path)}.`)
    await removeIfEmpty(parent)
  }

  async toolInput(key: string): Promise<string> {
    return this.pathOf(key)
  }

  async checkWritable(): Promise<void> {
    await access(join(this.directory, 'uploads'), constants.W_OK)
  }
}

async function removeTemporaries(directory: string, prefix: string): Promise<void> {
  const names = await readdir(directory).catch((error: unknown) => {
    if (isCode(error, 'ENOENT')) return []
    throw error
  })
  for (const name of names) {
    if (name.startsWith(prefix) && name.endsWith('.tmp')) await rm(join(directory, name), { force: true })
  }
}

async function removeIfEmpty(directory: string): Promise<void> {
  try {
    await rmdir(directory)
  } catch (error) {
    if (!isCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT')) throw error
  }
}
