import { mkdir, rm, rmdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { translateDiskError } from '../storage/disk/disk-objects.ts'
import { type DiskSpace, NO_ROOM } from '../storage/disk/disk-space.ts'
import { namesIn, scratchName } from '../storage/disk/scratch-claims.ts'
import { isCode } from '../storage/error-code.ts'
import { StorageFull } from '../storage/objects.ts'
import { saysNoRoom } from './no-room.ts'

// Files of a step while it runs lie below root/<name>/<random>.<bytes>, and nowhere else. The name is that of the media
// item, with that of the work where several are done at once; the bytes are those that may come.

/** Where scratch folders are made, and the room that there is for them. */
export type Scratch = { root: string; space: Pick<DiskSpace, 'enter'> }

/** The folder went away under the work: another job has the media now, or an operator made room. */
export class ScratchLost extends Error {
  constructor(options?: ErrorOptions) {
    super('the scratch folder is gone', options)
    this.name = 'ScratchLost'
  }
}

/**
 * Does work that may write so many bytes in an empty folder of its own, which is removed whatever happens. Fails with
 * `StorageFull` before that, where the disk has no such room beside what is still to come to it. Other folders of the
 * name go before: a worker that was killed or lost its job has left them, and the worker that has the job now removes them. Fails with
 * `ScratchLost` where that is what made the work fail, and with `StorageFull` where there is no room for it.
 */
export async function withScratch<Result>(
  { root, space }: Scratch,
  { name, bytes }: { name: string; bytes: number },
  work: (folder: string) => Promise<Result>,
): Promise<Result> {
  const room = join(root, name)
  const folder = join(room, scratchName(bytes))
  try {
    // A tool that still writes into one may be quicker than a look into it.
    await rm(room, { recursive: true, force: true, maxRetries: 3 })
    const made = await space.enter(async (claim) => {
      if (!claim(bytes)) return NO_ROOM
      await mkdir(folder, { recursive: true })
      return 'made'
    })
    if (made === NO_ROOM) throw new StorageFull()
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

async function removeIfEmpty(directory: string): Promise<void> {
  try {
    await rmdir(directory)
  } catch (error) {
    if (!isCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT')) throw error
  }
}
