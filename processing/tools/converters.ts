import { constants } from 'node:fs'
import { access, lstat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ToolSandbox } from '../../system/tool-sandbox.ts'
import { UnreadableInput } from './tool-errors.ts'
import { ToolRunner } from './tool-runner.ts'

/** A program that writes pictures of a file. */
type Converter = {
  /** Its names, the newer one first. */
  programs: readonly string[]
  /** What it prints where it can read such files. */
  trial: { args: readonly string[]; prints: RegExp }
  args: (conversion: Conversion, path: string) => readonly string[]
  /** The names of the picture that is wanted, without what `path` has; one of them is written. */
  written: (conversion: Conversion) => readonly string[]
}

const JPEG_QUALITY = '95'
const suffixOf = ({ hasAlpha }: Conversion) => (hasAlpha ? '.png' : '.jpg')

const CONVERTERS: Readonly<Record<string, Converter>> = {
  // Of libheif: libvips and many builds of ffmpeg lack HEVC in HEIF. Its codecs may be packages of their own; those of
  // releases that list none are parts of it.
  'image/heic': {
    programs: ['heif-dec', 'heif-convert'],
    trial: { args: ['--list-decoders'], prints: /HEIC decoders:\s*- |unrecognized option/ },
    args: (conversion, path) => [...['-q', JPEG_QUALITY, conversion.input, path + suffixOf(conversion)]],
    // Several pictures are numbered from one.
    written: (conversion) => ['', `-${conversion.page + 1}`].map((number) => number + suffixOf(conversion)),
  },
  // Of Poppler: the first page.
  'application/pdf': {
    programs: ['pdftoppm'],
    trial: { args: ['-h'], prints: /version/ },
    args: ({ input, maxSide }, path) => [
      ...['-f', '1', '-l', '1', '-singlefile', '-jpeg', '-jpegopt', `quality=${JPEG_QUALITY}`],
      ...['-scale-to', String(maxSide), input, path],
    ],
    written: () => ['.jpg'],
  },
}

/** What can be converted at all, by media type. */
export const isConvertible = (contentType: string | null): boolean => (contentType ?? '') in CONVERTERS

const TIMEOUT_MS = 60_000
const MAX_TALK_BYTES = 1024 * 1024

export type Conversion = {
  /** A local path. */
  input: string
  contentType: string
  /** Which of several pictures, from 0. */
  page: number
  /** Whether it may be transparent. */
  hasAlpha: boolean
  /** Pixels, for what has no size of its own. */
  maxSide: number
  /** Where pictures are written. */
  folder: string
  signal: AbortSignal
}

/** Programs beside ffmpeg, in its sandbox and with its limits. None of them has to be there. */
export class Converters {
  readonly #sandbox: ToolSandbox
  readonly #working = new Set<string>()

  constructor(sandbox: ToolSandbox) {
    this.#sandbox = sandbox
  }

  /** Whether there is a program for this media type. Fails with `RetryLater` where it cannot be run at the moment. */
  async canRead(contentType: string | null): Promise<boolean> {
    return (await this.#find(contentType ?? '')) !== undefined
  }

  /**
   * Writes the picture of a file into the folder, and returns its path. Undefined where there is no program for it. Fails
   * with `UnreadableInput`, and like `ToolRunner.run`.
   */
  async convert(conversion: Conversion): Promise<string | undefined> {
    const { contentType, folder } = conversion
    const program = await this.#find(contentType)
    const converter = CONVERTERS[contentType]
    if (program === undefined || !converter) return undefined
    const path = join(folder, 'picture')
    const limits = { timeout: TIMEOUT_MS, maxBuffer: MAX_TALK_BYTES, folder }
    await this.#runner(converter).run(program, converter.args(conversion, path), conversion, limits)
    for (const name of converter.written(conversion)) if (await isFile(path + name)) return path + name
    throw new UnreadableInput(`${program} writes no picture of it`)
  }

  /** What is missing now may be installed later, and the other way round. */
  async #find(contentType: string): Promise<string | undefined> {
    const converter = CONVERTERS[contentType]
    for (const program of converter?.programs ?? []) {
      if (!converter || !(await this.#isThere(program))) continue
      if (this.#working.has(program)) return program
      const { args, prints } = converter.trial
      if (!prints.test(await this.#runner(converter).hear(program, args))) continue
      this.#working.add(program)
      return program
    }
    return undefined
  }

  #runner({ trial }: Converter): ToolRunner {
    return new ToolRunner(this.#sandbox, trial)
  }

  async #isThere(program: string): Promise<boolean> {
    const folders = (this.#sandbox.environment.PATH ?? '').split(':')
    const looks = folders.map((folder) => hasProgram(join(folder, program)))
    return (await Promise.all(looks)).includes(true)
  }
}

const hasProgram = (path: string): Promise<boolean> =>
  access(path, constants.X_OK).then(
    () => true,
    () => false,
  )

/** Never a link, which could lead anywhere: it is read without the sandbox. */
const isFile = (path: string): Promise<boolean> =>
  lstat(path).then(
    (found) => found.isFile(),
    () => false,
  )
