import { randomUUID } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import {
  access,
  copyFile,
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import type { Readable } from 'node:stream'
import type { ServedAs } from '../../content/served-as.ts'
import { isCode, onCode } from '../../system/error-code.ts'
import { inParallel } from '../../system/in-parallel.ts'
import { namesIn } from '../../system/names-in.ts'
import { removeIfEmpty } from '../../system/remove-if-empty.ts'
import { withFile } from '../../system/with-file.ts'
import {
  ObjectMissing,
  type Objects,
  type ReadOptions,
  StorageFull,
  StorageUnavailable,
  type StreamedBody,
} from '../store/objects.ts'

/**
 * Codes of a disk that is broken, read-only, unmounted, not permitted, or on an unavailable network; or no descriptors
 * are left.
 */
const UNAVAILABLE = [
  ...['EIO', 'EROFS', 'EACCES', 'EPERM', 'ENXIO', 'ENODEV', 'ESTALE', 'ENOTCONN', 'EHOSTDOWN'],
  ...['EHOSTUNREACH', 'ETIMEDOUT', 'EREMOTEIO', 'EMFILE', 'ENFILE', 'ENOMEM'],
]

/** Translates an error of the file system. */
export function translateDiskError(error: unknown): unknown {
  if (isCode(error, 'ENOSPC', 'EDQUOT')) return new StorageFull({ cause: error })
  return isCode(error, ...UNAVAILABLE) ? new StorageUnavailable({ cause: error }) : error
}

/** Makes a new or renamed directory entry durable. */
export async function syncDirectory(directory: string): Promise<void> {
  await withFile(directory, { flags: 'r' }, (handle) => handle.sync())
}

/**
 * A temporary file that was not touched for so long is abandoned. The job of a killed worker takes longer to reach
 * another one; a live worker goes on writing, and if not, its attempt fails and is retried.
 */
const ABANDONED_MS = 5_000
const REMOVED_SIDE_BY_SIDE = 16

/** Objects as files below one directory. */
export class DiskObjects implements Objects {
  readonly backend = 'disk'
  readonly directory: string

  /** Touches nothing yet. */
  constructor(directory: string) {
    this.directory = resolve(directory)
  }

  /** Opens the store, creating its directories. */
  static async open(directory: string): Promise<DiskObjects> {
    const objects = new DiskObjects(directory)
    await objects.prepare()
    return objects
  }

  /** Creates the directories of the store. */
  async prepare(): Promise<void> {
    for (const room of ['uploads', 'renditions']) await mkdir(join(this.directory, room), { recursive: true })
    await syncDirectory(this.directory)
  }

  /** The file of a key. Keys are ours; one that would leave the directory is a bug. */
  pathOf(key: string): string {
    const path = resolve(this.directory, key)
    if (!path.startsWith(this.directory + sep)) throw new Error('key leaves the store')
    return path
  }

  /** Files have no etag: a complete one is never written to again. */
  async read(key: string, { range }: ReadOptions = {}): Promise<Readable> {
    const handle = await open(this.pathOf(key), 'r').catch((error: unknown) => {
      throw missingOr(error, key)
    })
    // The stream closes the handle when it ends or is destroyed.
    return createReadStream('', { fd: handle, highWaterMark: 256 * 1024, ...range })
  }

  async sizeOf(key: string): Promise<number | undefined> {
    try {
      return (await stat(this.pathOf(key))).size
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined
      throw translateDiskError(error)
    }
  }

  /** Bytes of a key's file, or of the temporary file that will replace it. */
  async sizeInTheMaking(key: string): Promise<number> {
    const size = await this.sizeOf(key)
    if (size !== undefined) return size
    const drafts = draftsOf(this.pathOf(key))
    const names = await readdir(drafts).catch(() => [])
    const sizes = await Promise.all(names.map((name) => this.sizeOf(`${key}${DRAFTS}/${name}`)))
    return sizes.reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0)
  }

  /** Files carry no headers: each response sets them. */
  async put(key: string, bytes: Uint8Array): Promise<void> {
    await this.#replace(key, (temporary) => writeFile(temporary, bytes, { flag: 'wx', flush: true }))
  }

  /** By a hard link, which needs no space, or by copying: nobody may write to the file from then on. */
  async putFile(key: string, path: string): Promise<void> {
    await this.#replace(key, async (temporary) => {
      try {
        await link(path, temporary)
      } catch (error) {
        if (!isCode(error, ...NO_LINK)) throw error
        await copyFile(path, temporary, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
      }
      await makeDurable(temporary)
    })
  }

  async putStream(
    key: string,
    { size, chunks }: StreamedBody,
    _servedAs: ServedAs,
    signal: AbortSignal,
  ): Promise<null> {
    await this.#draft(key, async (handle) => {
      let written = 0
      for await (const chunk of chunks) {
        signal.throwIfAborted()
        written += chunk.byteLength
        if (written > size) break
        await handle.writeFile(chunk)
      }
      if (written !== size) throw new Error(`${written} bytes came where ${size} were said`)
    })
    await this.forgetJoins(key)
    return null
  }

  /** By a hard link, or by copying where the file system has none. */
  async copy(from: string, to: string): Promise<void> {
    const source = this.pathOf(from)
    const path = this.pathOf(to)
    await stat(source).catch((error: unknown) => {
      throw missingOr(error, from)
    })
    try {
      await makeDirectory(dirname(path))
      // At its final path at once, so that a crash leaves nothing else.
      await this.#linkInNew(source, path)
      await syncDirectory(dirname(path))
    } catch (error) {
      if (isCode(error, 'EEXIST')) await this.#replace(to, (temporary) => link(source, temporary))
      else if (isCode(error, ...NO_LINK))
        await this.#replace(to, (temporary) => copyDurably(source, temporary))
      else throw translateDiskError(missingOr(error, from))
    }
  }

  /** Makes the directory anew where it was removed with the last copy in it since it was made. */
  async #linkInNew(source: string, path: string): Promise<void> {
    try {
      await link(source, path)
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error
      await makeDirectory(dirname(path))
      await link(source, path)
    }
  }

  /**
   * Joins several files into one, in order. `forgetJoins` removes what a killed process left. Fails with
   * `ObjectMissing`.
   */
  async join(from: readonly { key: string; size: number }[], to: string): Promise<void> {
    await this.#draft(to, async (handle) => {
      for (const { key, size } of from) {
        const range = { start: 0, end: size - 1 }
        for await (const chunk of await this.read(key, { range })) await handle.writeFile(chunk)
      }
    })
  }

  /** Lets `write` fill a draft, and moves it durably to its path. */
  async #draft(to: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
    const drafts = draftsOf(this.pathOf(to))
    const draft = join(drafts, randomUUID())
    try {
      await makeDirectory(drafts)
      await withFile(draft, { flags: 'wx' }, async (handle) => {
        await write(handle)
        await handle.datasync()
      })
      await rename(draft, this.pathOf(to))
      await syncDirectory(dirname(this.pathOf(to)))
    } catch (error) {
      throw translateDiskError(error)
    } finally {
      // It would keep a full disk full.
      await rm(draft, { force: true })
    }
  }

  /** Removes what interrupted joins to this key have left. */
  async forgetJoins(to: string): Promise<void> {
    await rm(draftsOf(this.pathOf(to)), { recursive: true, force: true })
  }

  async remove(key: string): Promise<void> {
    await this.removeMany([key])
  }

  async removeMany(keys: readonly string[]): Promise<void> {
    const paths = keys.map((key) => this.pathOf(key))
    await inParallel(paths, REMOVED_SIDE_BY_SIDE, (path) => rm(path, { force: true }))
    // The renditions of a media item have a directory of their own, which is removed with the last of them, including
    // what a killed worker has left.
    const renditions = join(this.directory, 'renditions')
    const parents = new Set(
      paths.map((path) => dirname(path)).filter((parent) => dirname(parent) === renditions),
    )
    for (const parent of parents) {
      const names = paths.filter((path) => dirname(path) === parent).map((path) => basename(path))
      await removeTemporaries(parent, new Set(names))
      await removeIfEmpty(parent)
    }
  }

  async removeCopy(key: string): Promise<void> {
    await this.forgetJoins(key)
    await this.remove(key)
    // The directories of its prefix may have the name of an owner.
    for (let parent = dirname(this.pathOf(key)); parent !== this.directory; parent = dirname(parent))
      await removeIfEmpty(parent)
  }

  async toolInput(key: string): Promise<string> {
    return this.pathOf(key)
  }

  async link(): Promise<undefined> {
    return undefined
  }

  async checkWritable(): Promise<void> {
    await access(join(this.directory, 'uploads'), constants.W_OK)
  }

  /** Lets `write` make a new file, and replaces the key's file by it durably. */
  async #replace(key: string, write: (temporary: string) => Promise<void>): Promise<void> {
    const path = this.pathOf(key)
    const temporary = `${path}.${randomUUID()}.tmp`
    try {
      await makeDirectory(dirname(path))
      // A killed process does not come back, and nothing else removes its temporary files.
      await removeTemporaries(dirname(path), new Set([basename(path)]), ABANDONED_MS)
      await write(temporary)
      await rename(temporary, path)
      await syncDirectory(dirname(path))
    } catch (error) {
      throw translateDiskError(error)
    } finally {
      // It still exists after a failure, or where both names are links to the same file: renaming does nothing then.
      await rm(temporary, { force: true })
    }
  }
}

/** Error codes where hard links are not possible. */
const NO_LINK = ['EPERM', 'EXDEV', 'EMLINK', 'ENOTSUP', 'ENOSYS'] as const

/** Where a joined file is written before it gets its name. */
const draftsOf = (path: string): string => `${path}${DRAFTS}`
const DRAFTS = '.joining'

function missingOr(error: unknown, key: string): unknown {
  return isCode(error, 'ENOENT') ? new ObjectMissing(key, { cause: error }) : translateDiskError(error)
}

async function copyDurably(from: string, to: string): Promise<void> {
  await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
  await makeDurable(to)
}

async function makeDurable(path: string): Promise<void> {
  await withFile(path, { flags: 'r+' }, async (handle) => {
    // It has the mode of the original: that of an earlier release or a tool may be readable by the group.
    await handle.chmod(0o600)
    await handle.datasync()
  })
}

/** Creates a directory and its parents durably. */
async function makeDirectory(directory: string): Promise<void> {
  const first = await mkdir(directory, { recursive: true })
  if (first === undefined) return
  for (let made = directory; ; made = dirname(made)) {
    await syncDirectory(dirname(made))
    if (made === first || made === dirname(made)) return
  }
}

/** Removes abandoned temporary files of these names. */
async function removeTemporaries(directory: string, of: ReadonlySet<string>, untouchedMs = 0): Promise<void> {
  const names = await namesIn(directory)
  const before = Date.now() - untouchedMs
  for (const name of names) {
    const [, final] = /^(.+)\.[^.]+\.tmp$/.exec(name) ?? []
    if (final === undefined || !of.has(final)) continue
    const temporary = join(directory, name)
    if (untouchedMs === 0 || (await touchedAt(temporary)) < before) await rm(temporary, { force: true })
  }
}

/** Not when its bytes were written: a link has an old time. Never, where it is gone. */
async function touchedAt(path: string): Promise<number> {
  const found = await stat(path).catch(onCode(['ENOENT'], undefined))
  return found?.ctimeMs ?? Number.POSITIVE_INFINITY
}
