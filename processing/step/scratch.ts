import { mkdir, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { translateDiskError } from '../../storage/disk/disk-objects.ts'
import type { DiskSpace } from '../../storage/disk/disk-space.ts'
import { contentOf, isAbandoned, scratchName } from '../../storage/disk/scratch-claims.ts'
import { ObjectTooLarge, StorageFull } from '../../storage/store/objects.ts'
import { onCode } from '../../system/error-code.ts'
import { namesIn } from '../../system/names-in.ts'
import { removeIfEmpty } from '../../system/remove-if-empty.ts'
import { isDiskFull } from '../tools/disk-full.ts'

// Files of a running step are below root/<name>/<random>.<bytes> only. The name is that of the media item, with that of
// the work where there is more than one; the bytes are what may be written.

/** Where scratch folders are made, and the space for them. */
export type Scratch = {
  root: string
  space: Pick<DiskSpace, 'enterScratch'>
  /** When the job began to wait for space (milliseconds since the epoch); undefined where it does not wait. */
  waitsSince?: number | undefined
}

/** After this wait the file does without what would be made in the folder. */
const MAX_WAIT_MS = 3_600_000
const HEARTBEAT_MS = 60_000
const CLEARING_MS = 5 * 60_000

/** The folder was removed during the work: another job has the media item now, or an operator freed space. */
export class ScratchLost extends Error {
  constructor(options?: ErrorOptions) {
    super('the scratch folder is gone', options)
    this.name = 'ScratchLost'
  }
}

/** There is no space at the moment. */
export class ScratchFull extends StorageFull {}

/** There will be no space: the file does without the result. */
export class NoScratchSpace extends ObjectTooLarge {
  constructor(bytes: number, message: string, options?: ErrorOptions) {
    super(bytes, 0)
    this.name = 'NoScratchSpace'
    this.message = message
    this.cause = options?.cause
  }
}

/**
 * Runs work in an empty folder of its own, in which it may write so many bytes and which is removed in any case. Other
 * folders of the name, which killed workers left, are removed first. Fails with `ScratchFull` where the disk has no
 * space now, with `NoScratchSpace` where it never will or the job has waited for an hour, and with `ScratchLost` where
 * the work failed because the folder was removed.
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

/** Removes the folders that earlier workers left under this name, also where the current job writes nothing. */
export async function removeScratch({ root }: Pick<Scratch, 'root'>, name: string): Promise<void> {
  // A tool that still writes into one may race with the removal.
  await rm(join(root, name), { recursive: true, force: true, maxRetries: 3 })
}

/** Translates errors of a full disk. */
function fullOr({ waitsSince }: Scratch, bytes: number, cause: unknown): unknown {
  if (!(cause instanceof StorageFull || isDiskFull(cause))) return cause
  if (waitsSince === undefined || Date.now() - waitsSince < MAX_WAIT_MS) return new ScratchFull({ cause })
  const message = `there was no room for it on the disk for ${MAX_WAIT_MS / 60_000} minutes`
  return new NoScratchSpace(bytes, message, { cause })
}

/** Marks the folder as in use: see `isAbandoned`. Work in a removed one fails by itself. */
async function touch(folder: string): Promise<void> {
  const now = new Date()
  await utimes(folder, now, now).catch(() => {})
}

/** Removes abandoned folders now and every five minutes. Returns the function that stops it. */
export function startScratchCleaner(root: string, onError: (error: unknown) => void): () => void {
  const clear = () => void removeAbandonedScratch(root).catch(onError)
  clear()
  const timer = setInterval(clear, CLEARING_MS)
  return () => clearInterval(timer)
}

/** Removes folders that were not touched for long: their jobs have ended or run elsewhere. */
export async function removeAbandonedScratch(root: string): Promise<void> {
  for (const name of await namesIn(root, 'ENOTDIR')) {
    const room = join(root, name)
    for (const one of await namesIn(room, 'ENOTDIR')) {
      const folder = join(room, one)
      if (await isOld(one, folder)) await rm(folder, { recursive: true, force: true })
    }
    // Removing an empty one does not harm a job that is about to use it.
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
  return (await stat(path).catch(onCode(['ENOENT'], undefined))) !== undefined
}
