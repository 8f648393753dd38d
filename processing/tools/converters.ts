import { access } from 'node:fs/promises'
import { join } from 'node:path'
import type { ToolSandbox } from '../../system/tool-sandbox.ts'
import { UnreadableInput } from './tool-errors.ts'
import { ToolRunner } from './tool-runner.ts'

/** A program that writes a picture of a file as JPEG. */
type Converter = {
  /** Its names, the newer one first. */
  programs: readonly string[]
  /** Its arguments. It may number the pictures that it writes. */
  args: (input: string, path: string, maxSide: number) => readonly string[]
}

/** Its quality, where it is encoded again. */
const QUALITY = '95'
const SUFFIX = '.jpg'

const CONVERTERS: Readonly<Record<string, Converter>> = {
  // Of libheif: libvips and many builds of ffmpeg lack HEVC in HEIF.
  'image/heic': {
    programs: ['heif-dec', 'heif-convert'],
    args: (input, path) => ['--quiet', '-q', QUALITY, input, path + SUFFIX],
  },
  // Of Poppler: the first page.
  'application/pdf': {
    programs: ['pdftoppm'],
    args: (input, path, maxSide) => [
      ...['-f', '1', '-l', '1', '-singlefile', '-jpeg', '-jpegopt', `quality=${QUALITY}`],
      ...['-scale-to', String(maxSide), input, path],
    ],
  },
}

/** What can be converted at all, by media type. */
export const isConvertible = (contentType: string | null): boolean => (contentType ?? '') in CONVERTERS

const TIMEOUT_MS = 60_000
const MAX_TALK_BYTES = 1024 * 1024
const TRIAL = { args: ['-h'], prints: /version/ }

export type Conversion = {
  /** A local path. */
  input: string
  contentType: string
  /** Pixels, for what has no size of its own. */
  maxSide: number
  /** Where the picture is written. */
  folder: string
  signal: AbortSignal
}

/** Programs beside ffmpeg, in its sandbox and with its limits. None of them has to be there. */
export class Converters {
  readonly #runner: ToolRunner
  readonly #found = new Map<string, string>()

  constructor(sandbox: ToolSandbox) {
    this.#runner = new ToolRunner(sandbox, TRIAL)
  }

  /** Whether there is a program for this media type. */
  async canRead(contentType: string | null): Promise<boolean> {
    return (await this.#find(contentType ?? '')) !== undefined
  }

  /**
   * Writes the picture of a file into the folder, and returns its path. Undefined where there is no program for it. Fails
   * with `UnreadableInput`, and like `ToolRunner.run`.
   */
  async convert({ input, contentType, maxSide, folder, signal }: Conversion): Promise<string | undefined> {
    const program = await this.#find(contentType)
    const converter = CONVERTERS[contentType]
    if (program === undefined || !converter) return undefined
    const path = join(folder, 'picture')
    await this.#runner.run(
      program,
      converter.args(input, path, maxSide),
      { input, signal },
      { timeout: TIMEOUT_MS, maxBuffer: MAX_TALK_BYTES, folder },
    )
    for (const written of [path + SUFFIX, `${path}-1${SUFFIX}`]) if (await isThere(written)) return written
    throw new UnreadableInput(`${program} writes no picture of it`)
  }

  /** What is missing now may be installed later. */
  async #find(contentType: string): Promise<string | undefined> {
    const found = this.#found.get(contentType)
    if (found !== undefined) return found
    for (const program of CONVERTERS[contentType]?.programs ?? []) {
      if (!(await this.#runner.works(program))) continue
      this.#found.set(contentType, program)
      return program
    }
    return undefined
  }
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
