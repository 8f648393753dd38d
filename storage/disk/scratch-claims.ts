import { randomUUID } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isCode } from '../../system/error-code.ts'
import { within } from './file-system.ts'

// A scratch folder says in its own name how many bytes may come into it: every process that looks for room on this disk, in
// whichever process, sees that from the moment it is made, and for as long as its job touches it.

const CLAIM = /\.(\d{1,15})$/

/** A job touches its folder every minute: one that nobody has touched for so long belongs to nobody. */
export const ABANDONED_MS = 10 * 60_000
/** The release before this one named no bytes and touched nothing. */
const OLD_ABANDONED_MS = 24 * 3_600_000
/** A file system that hangs keeps nobody waiting for longer. */
const TIMEOUT_MS = 1_000

/** Bytes of all scratch folders that are in use. */
export type ScratchFigures = { written: number; toCome: number }

/** The name of a new folder into which so many bytes may come. */
export const scratchName = (bytes: number): string => `${randomUUID()}.${Math.ceil(bytes)}`

const claimOf = (folder: string): number | undefined => {
  const bytes = CLAIM.exec(folder)?.[1]
  return bytes === undefined ? undefined : Number(bytes)
}

/** Whether the job of a folder of this name, last touched at this time, has ended without removing it. */
export function isAbandoned(folder: string, touchedAt: number): boolean {
  const limitMs = claimOf(folder) === undefined ? OLD_ABANDONED_MS : ABANDONED_MS
  return touchedAt < Date.now() - limitMs
}

/** What the folders at root/<name>/<folder> hold of the disk. */
export class ScratchClaims {
  readonly #root: string
  readonly #onError: (error: unknown) => void
  #known: ScratchFigures = { written: 0, toCome: 0 }
  #looking: Promise<boolean> | undefined
  #isReported = false

  /** `onError` is told once of what cannot be looked at, until all can be again. */
  constructor(root: string, onError: (error: unknown) => void = () => {}) {
    this.#root = root
    this.#onError = onError
  }

  /** Never fails. What cannot be looked into counts with all that it claims; after a second, what was found before. */
  async figures(): Promise<ScratchFigures> {
    this.#looking ??= this.#look()
    const isThere = await within(this.#looking, TIMEOUT_MS)
    if (!isThere) this.#report(new Error(`scratch folders cannot be looked at within ${TIMEOUT_MS} ms`))
    return this.#known
  }

  async #look(): Promise<boolean> {
    const failures: unknown[] = []
    const sum = { written: 0, toCome: 0 }
    for (const name of await namesIn(this.#root).catch(noted(failures))) {
      const room = join(this.#root, name)
      for (const folder of await namesIn(room).catch(noted(failures))) {
        const claimed = claimOf(folder)
        if (claimed === undefined) continue
        const content = await contentOf(join(room, folder), failures)
        if (isAbandoned(folder, content.touchedAt)) continue
        sum.written += content.bytes
        sum.toCome += Math.max(claimed - content.bytes, 0)
      }
    }
    this.#known = sum
    this.#looking = undefined
    if (failures.length > 0) this.#report(failures[0])
    else this.#isReported = false
    return true
  }

  #report(error: unknown): void {
    if (this.#isReported) return
    this.#isReported = true
    this.#onError(error)
  }
}

const noted =
  (failures: unknown[]) =>
  (error: unknown): string[] => {
    failures.push(error)
    return []
  }

/**
 * Bytes in a folder, and when it or something in it was last written or touched (files that grow do not change the time of
 * their folder). What cannot be looked at adds nothing and is noted; a folder that cannot be counts as touched now.
 */
export async function contentOf(
  folder: string,
  failures: unknown[],
): Promise<{ bytes: number; touchedAt: number }> {
  let bytes = 0
  let touchedAt = (await statOf(folder, failures, { mtimeMs: Date.now() }))?.mtimeMs ?? 0
  for (const name of await namesIn(folder).catch(noted(failures))) {
    const found = await statOf(join(folder, name), failures)
    bytes += found?.size ?? 0
    touchedAt = Math.max(touchedAt, found?.mtimeMs ?? 0)
  }
  return { bytes, touchedAt }
}

/** Undefined where it is not there. */
async function statOf(path: string, failures: unknown[], otherwise?: { mtimeMs: number }) {
  try {
    const { size, mtimeMs } = await stat(path)
    return { size, mtimeMs }
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    failures.push(error)
    return otherwise && { size: 0, ...otherwise }
  }
}

/** None of a directory that is not there, and of what is no directory. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return []
    throw error
  }
}
