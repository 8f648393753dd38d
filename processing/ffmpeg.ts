import { ExecaError, execa } from 'execa'
import { Waiting } from './verdict.ts'

export type FfmpegOptions = { ffmpegPath: string; ffprobePath: string }

export type ToolRun = {
  /** A path or URL from the store, never a client's words. */
  input: string
  /** Demuxers that may open the input. */
  demuxers: readonly string[]
  signal: AbortSignal
}

/** A sound ffmpeg or ffprobe looked at the input and could not make sense of it. */
export class UnreadableInput extends Error {
  constructor(stderr: string) {
    super(stderr)
    this.name = 'UnreadableInput'
  }
}

const PROBE_TIMEOUT_MS = 120_000
const FRAME_TIMEOUT_MS = 60_000
const MAX_JSON_BYTES = 4 * 1024 * 1024
const MAX_FRAME_BYTES = 128 * 1024 * 1024
const STDERR_CHARACTERS = 2_000
const VERSION_TIMEOUT_MS = 10_000

/**
 * ffprobe and ffmpeg as child processes: no shell, a time limit with a kill, bounded output, and only
 * the demuxers and protocols that the file may need, because a playlist may otherwise open other files.
 */
export class Ffmpeg {
  readonly #options: FfmpegOptions

  constructor(options: FfmpegOptions) {
    this.#options = options
  }

  /**
   * What ffprobe finds in the input, and what it complained about while it read every packet of it.
   * Fails with `UnreadableInput`.
   */
  async probe(run: ToolRun): Promise<{ json: unknown; complaints: string }> {
    const args = ['-v', 'error', '-show_format', '-show_streams', '-count_packets', '-of', 'json']
    const { stdout, stderr } = await this.#run(this.#options.ffprobePath, [...args, ...inputArgs(run)], run, {
      timeout: PROBE_TIMEOUT_MS,
      maxBuffer: MAX_JSON_BYTES,
    })
    return { json: JSON.parse(Buffer.from(stdout).toString('utf8')), complaints: stderr }
  }

  /**
   * One frame at `atSeconds` as PNG, rotated as it is to be shown, at most `width` pixels wide; undefined
   * when there is none at that time. Fails with `UnreadableInput`.
   */
  async frame(run: ToolRun & { atSeconds: number; width: number }): Promise<Uint8Array | undefined> {
    const { atSeconds, width } = run
    // Seeking before the input jumps to the key frame instead of decoding up to the moment.
    const seek = ['-v', 'error', '-nostdin', '-ss', atSeconds.toFixed(3)]
    const scale = ['-map', '0:v:0', '-frames:v', '1', '-vf', `scale=w='min(${width},iw)':h=-2`]
    const output = ['-f', 'image2pipe', '-c:v', 'png', 'pipe:1']
    const { stdout } = await this.#run(
      this.#options.ffmpegPath,
      [...seek, ...inputArgs(run), ...scale, ...output],
      run,
      {
        timeout: FRAME_TIMEOUT_MS,
        maxBuffer: MAX_FRAME_BYTES,
      },
    )
    return stdout.byteLength === 0 ? undefined : stdout
  }

  async #run(
    program: string,
    args: string[],
    { signal }: ToolRun,
    limits: { timeout: number; maxBuffer: number },
  ) {
    try {
      const result = await execa(program, args, {
        encoding: 'buffer',
        stdin: 'ignore',
        cancelSignal: signal,
        forceKillAfterDelay: 2_000,
        ...limits,
      })
      return { stdout: result.stdout, stderr: shorten(result.stderr) }
    } catch (error) {
      if (!(error instanceof ExecaError)) throw error
      const said: unknown = error.stderr
      const stderr = said instanceof Uint8Array ? shorten(said) : ''
      // Missing, killed, cancelled or out of time: not the file's fault, or not provably so.
      if (error.exitCode === undefined || error.timedOut || error.isMaxBuffer || error.isCanceled) {
        throw isAway(error) ? new Waiting(`${program} cannot be run`, { cause: error }) : error
      }
      if (OUR_MISTAKE.test(stderr)) throw error
      await this.#checkSound(program, error)
      throw new UnreadableInput(stderr)
    }
  }

  /** A tool that cannot even say its version says no to every file: that is no verdict on this one. */
  async #checkSound(program: string, cause: Error): Promise<void> {
    try {
      const { stdout } = await execa(program, ['-version'], { timeout: VERSION_TIMEOUT_MS })
      if (/^ff(mpeg|probe) version /.test(stdout)) return
    } catch {
      // The reason that matters is the first one.
    }
    throw new Waiting(`${program} does not work`, { cause })
  }
}

/** Options that this ffmpeg does not know, or a decoder it was built without. */
const OUR_MISTAKE = /unrecognized option|option .* not found|decoder .* not found|no decoder|unknown decoder/i

function isAway(error: ExecaError): boolean {
  return error.code === 'ENOENT' || error.code === 'EACCES'
}

function inputArgs({ input, demuxers }: ToolRun): string[] {
  const protocols = input.startsWith('/') ? 'file' : 'http,https,tcp,tls'
  return ['-protocol_whitelist', protocols, '-format_whitelist', demuxers.join(','), '-i', input]
}

/** The end of what was said, without the input's address, which is nobody's business. */
function shorten(stderr: Uint8Array): string {
  return Buffer.from(stderr)
    .toString('utf8')
    .replaceAll(/(\/|https?:)\S+: /g, '')
    .trim()
    .slice(-STDERR_CHARACTERS)
}
