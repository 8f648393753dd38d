import { statfs } from 'node:fs/promises'
import { inTime } from '../../system/in-time.ts'

/** What a file system says of itself. */
export type FileSystemFigures = {
  /** Bytes that we can still write. */
  freeBytes: number
  totalBytes: number
  /** Files that can still be made; null where it has no such limit. */
  freeFiles: number | null
  totalFiles: number | null
}

const KEPT_MS = 1_000
/** One that hangs, such as a network's, keeps nobody waiting for longer. */
const TIMEOUT_MS = 1_000

/** The file system that a directory lies on. It is asked once at a time, whatever becomes of the question. */
export class FileSystem {
  readonly #directory: string
  readonly #ask: typeof statfs
  #known: { figures: FileSystemFigures; at: number } | undefined
  #asked: { answer: Promise<FileSystemFigures | undefined>; at: number } | undefined

  constructor(directory: string, ask: typeof statfs = statfs) {
    this.#directory = directory
    this.#ask = ask
  }

  /** Figures no older than this. Never fails: undefined where they cannot be had, or not within a second. */
  async figures(maxAgeMs = KEPT_MS): Promise<FileSystemFigures | undefined> {
    const now = performance.now()
    if (this.#known && now - this.#known.at <= maxAgeMs) return this.#known.figures
    this.#asked ??= { answer: this.#look(), at: now }
    return await within(this.#asked.answer, TIMEOUT_MS - (now - this.#asked.at))
  }

  async #look(): Promise<FileSystemFigures | undefined> {
    try {
      const { bavail, blocks, bsize, ffree, files } = await this.#ask(this.#directory)
      const hasFiles = files > 0
      const figures = {
        freeBytes: bavail * bsize,
        totalBytes: blocks * bsize,
        freeFiles: hasFiles ? ffree : null,
        totalFiles: hasFiles ? files : null,
      }
      this.#known = { figures, at: performance.now() }
      return figures
    } catch {
      // Whether the directory is there is asked elsewhere; here nothing is known then.
      return undefined
    } finally {
      this.#asked = undefined
    }
  }
}

/** An answer that is not there after so many milliseconds is not waited for. */
export async function within<Answer>(answer: Promise<Answer>, ms: number): Promise<Answer | undefined> {
  return ms <= 0 ? undefined : await inTime(answer, ms, () => undefined)
}
