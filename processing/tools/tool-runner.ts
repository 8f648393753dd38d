import { ExecaError } from 'execa'
import { StorageFull } from '../../storage/store/objects.ts'
import { runProgram } from '../../system/programs.ts'
import type { ToolSandbox } from '../../system/tool-sandbox.ts'
import { RetryLater } from '../failures/job-failures.ts'
import { ChildGroups, toolLimits } from './child-limits.ts'
import { isDiskFull } from './disk-full.ts'
import { InputNotDelivered, ToolFailed, UnreadableInput } from './tool-errors.ts'
import { readLocalReport, readRemoteReport, type ToolReport } from './tool-report.ts'

/** No single buffer of a sound file comes near. */
const MAX_ALLOCATION_BYTES = 512 * 1024 * 1024
const VERSION_TIMEOUT_MS = 10_000

/** Runs ffmpeg and ffprobe: held in, with limits, and with an explanation of how they ended. */
export class ToolRunner {
  readonly #sandbox: ToolSandbox
  readonly #groups = new ChildGroups()

  constructor(sandbox: ToolSandbox) {
    this.#sandbox = sandbox
  }

  /**
   * Runs `program` on an input, of which it hears nothing else. Fails with `UnreadableInput` where a tool that works
   * cannot read it, with `InputNotDelivered` where the storage did not hand it over, with `StorageFull`, with `ToolFailed`
   * where it was ended or is called wrongly, and with `RetryLater` where it cannot be run at the moment.
   */
  async run(
    program: string,
    args: readonly string[],
    { input, signal }: { input: string; signal: AbortSignal },
    { folder, ...limits }: Limits,
  ): Promise<ToolReport & { stdout: Uint8Array }> {
    const read = (stderr: unknown): ToolReport => {
      const said = stderr instanceof Uint8Array ? Buffer.from(stderr).toString('utf8') : ''
      return isRemote(input) ? readRemoteReport(said) : readLocalReport(said)
    }
    let result: { stdout: Uint8Array; stderr: Uint8Array }
    try {
      const confined = await this.#sandbox.confine({
        program,
        args: ['-max_alloc', String(MAX_ALLOCATION_BYTES), ...args],
        input: isRemote(input) ? undefined : input,
        folder,
        hasNetwork: isRemote(input),
        limits: toolLimits(limits.timeout),
      })
      const child = runProgram(confined.program, confined.args, {
        encoding: 'buffer',
        stdin: 'ignore',
        cancelSignal: signal,
        // What holds a tool in passes on no other, and a tool has nothing to put in order.
        killSignal: 'SIGKILL',
        detached: true,
        ...limits,
        env: { ...this.#sandbox.environment, ...limits.env },
      })
      this.#groups.add(child.nodeChildProcess)
      result = await child
    } catch (error) {
      if (!(error instanceof ExecaError)) throw error
      const report = read(error.stderr)
      throw noRoomIn(folder, report, error) ?? (await this.#explain(program, error, report))
    }
    const report = read(result.stderr)
    const noRoom = noRoomIn(folder, report)
    if (noRoom) throw noRoom
    // It ends well even where it takes a connection that broke for the end of the file.
    if (report.delivery === 'broken') throw new InputNotDelivered(program)
    return { stdout: result.stdout, ...report }
  }

  /** What it means that a run failed. */
  async #explain(program: string, error: ExecaError, { complaints, delivery }: ToolReport): Promise<Error> {
    const hasBadArguments = BAD_ARGUMENTS.test(complaints)
    const kind = error.timedOut
      ? 'timed-out'
      : error.isMaxBuffer
        ? 'output-too-large'
        : hasBadArguments
          ? 'bad-arguments'
          : 'other'
    const failure = new ToolFailed(`${program} ${endOf(error)}: ${complaints}`, kind)
    if (isUnavailable(error)) return new RetryLater(`${program} cannot be run`, { cause: failure })
    if (error.isCanceled) return failure
    if (delivery !== 'sound') return new InputNotDelivered(program, { cause: failure })
    // Killed or out of time: not the file's fault, or not provably so.
    if (error.exitCode === undefined || error.timedOut || error.isMaxBuffer) return failure
    if (hasBadArguments || CRASHES.has(error.exitCode)) return failure
    if (HOLDER_FAILED.test(complaints)) return new RetryLater(`${program} cannot be run`, { cause: failure })
    return (await this.#isSound(program))
      ? new UnreadableInput(complaints)
      : new RetryLater(`${program} does not work`, { cause: failure })
  }

  /** A tool that cannot even say its version says no to every file: that is no verdict on this one. */
  async #isSound(program: string): Promise<boolean> {
    try {
      const confined = await this.#sandbox.confine({
        program,
        args: ['-version'],
        hasNetwork: false,
        limits: toolLimits(VERSION_TIMEOUT_MS),
      })
      const { stdout } = await runProgram(confined.program, confined.args, {
        timeout: VERSION_TIMEOUT_MS,
        killSignal: 'SIGKILL',
        env: this.#sandbox.environment,
      })
      return /^ff(mpeg|probe) version /.test(stdout)
    } catch {
      // The reason that matters is the first one.
      return false
    }
  }
}

/** That what was to be written has found no room, whether or not the tool makes much of it. */
function noRoomIn(folder: string | undefined, { complaints }: ToolReport, cause?: Error): Error | undefined {
  return folder !== undefined && isDiskFull(new Error(complaints)) ? new StorageFull({ cause }) : undefined
}

export type Limits = {
  timeout: number
  maxBuffer: number
  stdout?: Swallowed
  env?: Readonly<Record<string, string>>
  /** Where it may write. */
  folder?: string
}

/** Output that is used as it comes and not kept. */
type Swallowed = { binary: true; transform: (chunk: unknown) => Generator<never, void> }

/** Hands output over as it comes. */
export const discardOutput = (onChunk: (chunk: Uint8Array) => void): Swallowed => ({
  binary: true,
  // Nothing is passed on, so nothing is kept.
  *transform(chunk) {
    if (chunk instanceof Uint8Array) onChunk(chunk)
    yield* []
  },
})

/** Whether a tool reads this input over the network. */
export const isRemote = (input: string): boolean => !input.startsWith('/')

/** Options that this ffmpeg does not know, or a decoder it was built without. */
const BAD_ARGUMENTS =
  /unrecognized option|option .* not found|decoder .* not found|no decoder|unknown decoder/i

/** How bubblewrap and shells tell that a program was ended by a signal: ILL, TRAP, ABRT, BUS, FPE, KILL, SEGV, TERM, XCPU, XFSZ, SYS. */
const CRASHES = new Set([4, 5, 6, 7, 8, 9, 11, 15, 24, 25, 31].map((signal) => 128 + signal))

/** What a tool is run by could not do so. */
const HOLDER_FAILED = /^(?:bwrap|prlimit|unshare|setpriv|mount|sh): /

function isUnavailable(error: ExecaError): boolean {
  return error.code === 'ENOENT' || error.code === 'EACCES'
}

function endOf({ exitCode, timedOut, isMaxBuffer, signal, code }: ExecaError): string {
  if (timedOut) return 'took too long'
  if (isMaxBuffer) return 'said too much'
  if (signal !== undefined) return `was ended by ${signal}`
  return exitCode === undefined ? `failed with ${code ?? 'no reason'}` : `exited with ${exitCode}`
}
