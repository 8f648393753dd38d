import { mkdir, rm, rmdir, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { translateDiskError } from '../../storage/disk/disk-objects.ts'
import type { DiskSpace } from '../../storage/disk/disk-space.ts'
import { contentOf, isAbandoned, namesIn, scratchName } from '../../storage/disk/scratch-claims.ts'
import { ObjectTooLarge, StorageFull } from '../../storage/store/objects.ts'
import { isCode } from '../../system/error-code.ts'
import { isDiskFull } from '../tools/disk-full.ts'

// Files of a step while it runs lie below root/<name>/<random>.<bytes>, and nowhere else. The name is that of the media
// item, with that of the work where several are done at once; the bytes are those that may come.

/** Where scratch folders are made, and the room that there is for them. */
export type Scratch = {
  root: string
  space: Pick<DiskSpace, 'enterScratch'>
  /** Since when the job has found no room for one (milliseconds since the epoch); undefined where it has not. */
  waitsSince?: number | undefined
}

/** What is made in scratch folders is worth no longer wait: the file goes without. */
const MAX_WAIT_MS = 3_600_000
const HEARTBEAT_MS = 60_000
const CLEARING_MS = 5 * 60_000

/** The folder went away under the work: another job has the media now, or an operator made room. */
export class ScratchLost extends Error {
  constructor(options?: ErrorOptions) {
    super('the scratch folder is gone', options)
    this.name = 'ScratchLost'
  }
}

/** There is no room for the work at the moment. */
export class ScratchFull extends StorageFull {}

/** There is no room for the work, and the file goes without what it makes. */
export class NoScratchSpace extends ObjectTooLarge {
  constructor(bytes: number, message: string, options?: ErrorOptions) {
    super(bytes, 0)
    this.name = 'NoScratchSpace'
    this.message = message
    this.cause = options?.cause
  }
}

/**
 * Does work that may write so many bytes in an empty folder of its own, which is removed whatever happens. Other folders
 * of the name go before: a worker that was killed or lost its job has left them, and the worker that has the job now
 * removes them. Fails with `ScratchFull` where the disk has no such room, or a write of the work found none; with
 * `NoScratchSpace` where it never will have, or the job has waited for an hour; and with `ScratchLost` where the folder
 * went away and that made the work fail.
 */
export async function withScratch<Result>(
  scratch: Scratch,
  { name, bytes }: { name: string; bytes: number },
  work: (folder: string) => Promise<Result>,
): Promise<Result> {
  const room = join(scratch.root, name)
  const folder = join(room, scratchName(bytes))
  try {
    await removeScratch(scratch, name)
    const entered = await scratch.space.enterScratch(bytes, async () => {
      await mkdir(folder, { recursive: true })
    })
    if (entered === 'never') throw new NoScratchSpace(bytes, `the disk has no room for ${bytes} bytes of it`)
    if (entered === 'no-room') throw new StorageFull()
  } catch (error) {
    throw fullOr(scratch, bytes, translateDiskError(error))
  }
  const heartbeat = setInterval(() => void touch(folder), HEARTBEAT_MS)
  try {
    return await work(folder)
  } catch (error) {
    if (error instanceof StorageFull || isDiskFull(error)) throw fullOr(scratch, bytes, error)
    throw (await isThere(folder)) ? error : new ScratchLost({ cause: error })
  } finally {
    clearInterval(heartbeat)
    await rm(folder, { recursive: true, force: true })
    await removeIfEmpty(room)
  }
}

/** Removes what workers of before have left under this name: for who has their job now, and may have nothing to write. */
export async function removeScratch({ root }: Pick<Scratch, 'root'>, name: string): Promise<void> {
  // A tool that still writes into one may be quicker than a look into it.
  await rm(join(root, name), { recursive: true, force: true, maxRetries: 3 })
}

/** What an error means, where it is that there is no room. */
function fullOr({ waitsSince }: Scratch, bytes: number, cause: unknown): unknown {
  if (!(cause instanceof StorageFull || isDiskFull(cause))) return cause
  if (waitsSince === undefined || Date.now() - waitsSince < MAX_WAIT_MS) return new ScratchFull({ cause })
  return new NoScratchSpace(
    bytes,
    `there was no room for it on the disk for ${MAX_WAIT_MS / 60_000} minutes`,
    {
      cause,
    },
  )
}

/** Says that the folder is in use: see `isAbandoned`. One that is gone is noticed by who works in it. */
async function touch(folder: string): Promise<void> {
  const now = new Date()
  await utimes(folder, now, now).catch(() => {})
}

/** Removes abandoned folders from now on, and every five minutes. Returns what ends that. */
export function startScratchCleaner(root: string, onError: (error: unknown) => void): () => void {
  const clear = () => void removeAbandonedScratch(root).catch(onError)
  clear()
  const timer = setInterval(clear, CLEARING_MS)
  return () => clearInterval(timer)
}

/** Removes the folders that nobody has touched for long: their jobs went elsewhere, or nowhere. */
export async function removeAbandonedScratch(root: string): Promise<void> {
  for (const name of await namesIn(root)) {
    const room = join(root, name)
    for (const one of await namesIn(room)) {
      const folder = join(room, one)
      if (await isOld(one, folder)) await rm(folder, { recursive: true, force: true })
    }
    // One that is empty may be about to be used, and is needed by nobody.
    if (await isOld(name, room)) await removeIfEmpty(room)
  }
}

async function isOld(name: string, path: string): Promise<boolean> {
  const failures: unknown[] = []
  const { touchedAt } = await contentOf(path, failures)
  if (failures.length > 0) throw failures[0]
  return isAbandoned(name, touchedAt)
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false
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
