import { ExecaError, execa } from 'execa'
import { RECONNECT_SECONDS, readLocalReport, readRemoteReport, type ToolReport } from './tool-report.ts'
import { Waiting } from './verdict.ts'

export type FfmpegOptions = { ffmpegPath: string; ffprobePath: string }

export type ToolRun = {
  /** A path or URL from the store, never a client's words. */
  input: string
  /** Bytes of it. */
  size: number
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

/** A tool was ended, or could not be run. It carries nothing of the command, which may hold a signed address. */
export class ToolFailed extends Error {
  constructor(what: string, options?: ErrorOptions) {
    super(what, options)
    this.name = 'ToolFailed'
  }
}

/** The storage did not hand over all of the file, or not without interruptions: nothing is known of the file. */
export class Undelivered extends Waiting {
  constructor(program: string, options?: ErrorOptions) {
    super(`the storage did not deliver the file to ${program}`, options)
    this.name = 'Undelivered'
  }
}

const PROBE_TIMEOUT_MS = 120_000
/** Every packet is read, over the network too; an address works for little longer than this. */
const SLOWEST_BYTES_PER_MS = 4_000
const MAX_PROBE_TIMEOUT_MS = 14 * 60_000
/** A connection without a byte for this long is made anew. In microseconds, as ffmpeg wants it. */
const SILENCE_US = 15_000_000
const FRAME_TIMEOUT_MS = 60_000
const MAX_JSON_BYTES = 4 * 1024 * 1024
const MAX_FRAME_BYTES = 128 * 1024 * 1024
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
   * Fails with `UnreadableInput`, and with `Undelivered` where it did not get all of the input.
   */
  async probe(run: ToolRun): Promise<ToolReport & { json: unknown }> {
    const args = ['-show_format', '-show_streams', '-count_packets', '-of', 'json']
    const { stdout, ...report } = await this.#run(
      this.#options.ffprobePath,
      [...inputArgs(run), ...args, '-i', run.input],
      run,
      {
        timeout: Math.min(
          PROBE_TIMEOUT_MS + Math.ceil(run.size / SLOWEST_BYTES_PER_MS),
          MAX_PROBE_TIMEOUT_MS,
        ),
        maxBuffer: MAX_JSON_BYTES,
      },
    )
    return { json: JSON.parse(Buffer.from(stdout).toString('utf8')), ...report }
  }

  /**
   * One frame at `atSeconds` as PNG, rotated as it is to be shown, at most `width` pixels wide; undefined
   * when there is none at that time. Fails like `probe`.
   */
  async frame(run: ToolRun & { atSeconds: number; width: number }): Promise<Uint8Array | undefined> {
    const { atSeconds, width } = run
    // Seeking before the input jumps to the key frame instead of decoding up to the moment.
    const seek = ['-nostdin', '-ss', atSeconds.toFixed(3)]
    const scale = ['-map', '0:v:0', '-frames:v', '1', '-vf', `scale=w='min(${width},iw)':h=-2`]
    const output = ['-f', 'image2pipe', '-c:v', 'png', 'pipe:1']
    const { stdout } = await this.#run(
      this.#options.ffmpegPath,
      [...inputArgs(run), ...seek, '-i', run.input, ...scale, ...output],
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
    { input, signal }: ToolRun,
    limits: { timeout: number; maxBuffer: number },
  ) {
    const read = (stderr: unknown): ToolReport => {
      const said = stderr instanceof Uint8Array ? Buffer.from(stderr).toString('utf8') : ''
      return isRemote(input) ? readRemoteReport(said) : readLocalReport(said)
    }
    let result: { stdout: Uint8Array; stderr: Uint8Array }
    try {
      result = await execa(program, args, {
        encoding: 'buffer',
        stdin: 'ignore',
        cancelSignal: signal,
        forceKillAfterDelay: 2_000,
        ...limits,
      })
    } catch (error) {
      if (!(error instanceof ExecaError)) throw error
      throw await this.#explain(program, error, read(error.stderr))
    }
    const report = read(result.stderr)
    // It ends well even where it takes a connection that broke for the end of the file.
    if (report.delivery === 'broken') throw new Undelivered(program)
    return { stdout: result.stdout, ...report }
  }

  /** What it means that a run failed. */
  async #explain(program: string, error: ExecaError, { complaints, delivery }: ToolReport): Promise<Error> {
    const failure = new ToolFailed(`${program} ${endOf(error)}: ${complaints}`)
    if (isAway(error)) return new Waiting(`${program} cannot be run`, { cause: failure })
    if (error.isCanceled) return failure
    if (delivery !== 'sound') return new Undelivered(program, { cause: failure })
    // Killed or out of time: not the file's fault, or not provably so.
    if (error.exitCode === undefined || error.timedOut || error.isMaxBuffer) return failure
    if (OUR_MISTAKE.test(complaints)) return failure
    return (await this.#isSound(program))
      ? new UnreadableInput(complaints)
      : new Waiting(`${program} does not work`, { cause: failure })
  }

  /** A tool that cannot even say its version says no to every file: that is no verdict on this one. */
  async #isSound(program: string): Promise<boolean> {
    try {
      const { stdout } = await execa(program, ['-version'], { timeout: VERSION_TIMEOUT_MS })
      return /^ff(mpeg|probe) version /.test(stdout)
    } catch {
      // The reason that matters is the first one.
      return false
    }
  }
}

/** Whether a tool reads this input over the network. */
export const isRemote = (input: string): boolean => !input.startsWith('/')

/** Options that this ffmpeg does not know, or a decoder it was built without. */
const OUR_MISTAKE = /unrecognized option|option .* not found|decoder .* not found|no decoder|unknown decoder/i

function isAway(error: ExecaError): boolean {
  return error.code === 'ENOENT' || error.code === 'EACCES'
}

function endOf({ exitCode, timedOut, isMaxBuffer, signal, code }: ExecaError): string {
  if (timedOut) return 'took too long'
  if (isMaxBuffer) return 'said too much'
  if (signal !== undefined) return `was ended by ${signal}`
  return exitCode === undefined ? `failed with ${code ?? 'no reason'}` : `exited with ${exitCode}`
}

/** Options of the input, which stand before it. Messages carry their level where the network may have a say. */
function inputArgs({ input, demuxers }: ToolRun): string[] {
  const formats = ['-format_whitelist', demuxers.join(',')]
  if (!isRemote(input)) return ['-v', 'error', '-protocol_whitelist', 'file', ...formats]
  return [
    ...['-v', 'level+warning', '-protocol_whitelist', 'http,https,tcp,tls', ...formats],
    ...['-rw_timeout', String(SILENCE_US)],
    ...['-reconnect', '1', '-reconnect_streamed', '1', '-reconnect_delay_max', String(RECONNECT_SECONDS)],
    ...['-reconnect_on_network_error', '1', '-reconnect_on_http_error', '5xx'],
  ]
}
