import { randomUUID } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isCode } from '../../system/error-code.ts'
import { namesIn } from '../../system/names-in.ts'
import { within } from './file-system.ts'

// The name of a scratch folder contains the number of bytes that it may get: every process sees the claim from its
// creation, and for as long as its job touches it.

const CLAIM = /\.(\d{1,15})$/

/** A job touches its folder every minute: one that was not touched for this long is abandoned. */
export const ABANDONED_MS = 10 * 60_000
/** The previous release neither named bytes nor touched its folders. */
const OLD_ABANDONED_MS = 24 * 3_600_000
/** A file system that hangs delays nobody for longer. */
const TIMEOUT_MS = 1_000

/** Bytes of all scratch folders that are in use. */
export type ScratchFigures = { written: number; toCome: number }

/** The name of a new folder for so many bytes. */
export const scratchName = (bytes: number): string => `${randomUUID()}.${Math.ceil(bytes)}`

const claimOf = (folder: string): number | undefined => {
  const bytes = CLAIM.exec(folder)?.[1]
  return bytes === undefined ? undefined : Number(bytes)
}

/** Whether the job of a folder with this name, last touched then, has ended without removing it. */
export function isAbandoned(folder: string, touchedAt: number): boolean {
  const limitMs = claimOf(folder) === undefined ? OLD_ABANDONED_MS : ABANDONED_MS
  return touchedAt < Date.now() - limitMs
}

/** What the folders at root/<name>/<folder> take of the disk. */
export class ScratchClaims {
  readonly #root: string
  readonly #onError: (error: unknown) => void
  #known: ScratchFigures = { written: 0, toCome: 0 }
  #looking: Promise<boolean> | undefined
  #isReported = false

  /** `onError` is called once for folders that cannot be read, until all can be read again. */
  constructor(root: string, onError: (error: unknown) => void = () => {}) {
    this.#root = root
    this.#onError = onError
  }

  /**
   * Never fails. A folder that cannot be read counts with its whole claim; after a second the previous figures are
   * returned.
   */
  async figures(): Promise<ScratchFigures> {
    this.#looking ??= this.#look()
    const isThere = await within(this.#looking, TIMEOUT_MS)
    if (!isThere) this.#report(new Error(`scratch folders cannot be looked at within ${TIMEOUT_MS} ms`))
    return this.#known
  }

  async #look(): Promise<boolean> {
    const failures: unknown[] = []
    const sum = { written: 0, toCome: 0 }
    for (const name of await namesIn(this.#root, 'ENOTDIR').catch(noted(failures))) {
      const room = join(this.#root, name)
      for (const folder of await namesIn(room, 'ENOTDIR').catch(noted(failures))) {
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
 * Bytes in a folder, and when it or a file in it was last written or touched (growing files do not change the time of
 * their folder). What cannot be read adds nothing to the bytes and is added to `failures`; an unreadable folder counts
 * as touched now.
 */
export async function contentOf(
  folder: string,
  failures: unknown[],
): Promise<{ bytes: number; touchedAt: number }> {
  let bytes = 0
  let touchedAt = (await statOf(folder, failures, { mtimeMs: Date.now() }))?.mtimeMs ?? 0
  for (const name of await namesIn(folder, 'ENOTDIR').catch(noted(failures))) {
    const found = await statOf(join(folder, name), failures)
    bytes += found?.size ?? 0
    touchedAt = Math.max(touchedAt, found?.mtimeMs ?? 0)
  }
  return { bytes, touchedAt }
}

/** Undefined where it does not exist. */
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
