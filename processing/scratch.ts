import { randomUUID } from 'node:crypto'
import { mkdir, readdir, rm, rmdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { translateDiskError } from '../storage/disk/disk-objects.ts'
import { isCode } from '../storage/error-code.ts'
import { StorageFull } from '../storage/objects.ts'
import { saysNoRoom } from './no-room.ts'

// Files of a step while it runs lie below root/<name>/<random>, and nowhere else. The name is that of the media item,
// with that of the work where several are done at once.

/** The folder went away under the work: another job has the media now, or an operator made room. */
export class ScratchLost extends Error {
  constructor(options?: ErrorOptions) {
    super('the scratch folder is gone', options)
    this.name = 'ScratchLost'
  }
}

/**
 * Does work in an empty folder of its own, which is removed whatever happens. Other folders of the name go before:
 * a worker that was killed or lost its job has left them, and the worker that has the job now removes them. Fails with
 * `ScratchLost` where that is what made the work fail, and with `StorageFull` where there is no room for it.
 */
export async function withScratch<Result>(
  root: string,
  name: string,
  work: (folder: string) => Promise<Result>,
): Promise<Result> {
  const room = join(root, name)
  const folder = join(room, randomUUID())
  try {
    // A tool that still writes into one may be quicker than a look into it.
    await rm(room, { recursive: true, force: true, maxRetries: 3 })
    await mkdir(folder, { recursive: true })
  } catch (error) {
    throw translateDiskError(error)
  }
  try {
    return await work(folder)
  } catch (error) {
    if (saysNoRoom(error)) throw new StorageFull({ cause: error })
    throw (await isThere(folder)) ? error : new ScratchLost({ cause: error })
  } finally {
    await rm(folder, { recursive: true, force: true })
    await removeIfEmpty(room)
  }
}

/** Removes the folders of media that nobody has touched for so long: their jobs went elsewhere, or nowhere. */
export async function clearOldScratch(root: string, olderThanMs: number): Promise<void> {
  const before = Date.now() - olderThanMs
  for (const media of await namesIn(root)) {
    const room = join(root, media)
    for (const name of await namesIn(room)) {
      const folder = join(room, name)
      if ((await touchedAt(folder)) < before) await rm(folder, { recursive: true, force: true })
    }
    // One that is empty may be about to be used, and is needed by nobody.
    if ((await touchedAt(room)) < before) await removeIfEmpty(room)
  }
}

/** When something in it was last written: files that grow do not change the time of their folder. */
async function touchedAt(path: string): Promise<number> {
  const paths = [path, ...(await namesIn(path)).map((name) => join(path, name))]
  const times = await Promise.all(paths.map(async (one) => (await statOf(one))?.mtimeMs ?? 0))
  return Math.max(...times)
}

const isThere = async (path: string): Promise<boolean> => (await statOf(path)) !== undefined

async function statOf(path: string) {
  try {
    return await stat(path)
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** None of a directory that is not there, and of what is no directory. */
async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return []
    throw error
  }
}

async function removeIfEmpty(directory: string): Promise<void> {
  try {
    await rmdir(directory)
  } catch (error) {
    if (!isCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT')) throw error
  }
}
