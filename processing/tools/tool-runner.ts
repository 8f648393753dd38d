import { stat } from 'node:fs/promises'
import { ExecaError } from 'execa'
import { StorageFull } from '../../storage/store/objects.ts'
import { runProgram } from '../../system/programs.ts'
import type { ToolSandbox } from '../../system/tool-sandbox.ts'
import { RetryLater } from '../failures/job-failures.ts'
import { ChildGroups, toolLimits } from './child-limits.ts'
import { isDiskFull } from './disk-full.ts'
import { InputNotDelivered, ToolFailed, UnreadableInput } from './tool-errors.ts'
import { readLocalReport, readRemoteReport, type ToolReport } from './tool-report.ts'

const QUESTION_TIMEOUT_MS = 10_000

/** How a tool shows that it works, whatever its file is. */
export type Trial = { args: readonly string[]; prints: RegExp }

/** Runs tools such as ffmpeg: in a sandbox, with limits, and with their failures explained. */
export class ToolRunner {
  readonly #sandbox: ToolSandbox
  readonly #trial: Trial
  readonly #groups = new ChildGroups()

  constructor(sandbox: ToolSandbox, trial: Trial) {
    this.#sandbox = sandbox
    this.#trial = trial
  }

  /**
   * Runs `program` on an input. Fails with `UnreadableInput` where a working tool cannot read it, with
   * `InputNotDelivered` where the storage did not deliver it, with `StorageFull`, with `ToolFailed` where it was ended
   * or has bad arguments, and with `RetryLater` where it cannot be run at the moment.
   */
  async run(
    program: string,
    args: readonly string[],
    { input, signal }: { input: string; signal: AbortSignal },
    { folder, ...limits }: Limits,
  ): Promise<ToolReport & { stdout: Uint8Array }> {
    const read = (stderr: unknown): ToolReport => {
      const stderrText = stderr instanceof Uint8Array ? Buffer.from(stderr).toString('utf8') : ''
      return isRemote(input) ? readRemoteReport(stderrText) : readLocalReport(stderrText)
    }
    let result: { stdout: Uint8Array; stderr: Uint8Array }
    try {
      const confined = await this.#sandbox.confine({
        program,
        args,
        input: isRemote(input) ? undefined : input,
        folder,
        hasNetwork: isRemote(input),
        limits: toolLimits(limits.timeout),
      })
      const child = runProgram(confined.program, confined.args, {
        encoding: 'buffer',
        stdin: 'ignore',
        cancelSignal: signal,
        // The sandbox passes on no other signal, and a tool has nothing to clean up.
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
      if (!isRemote(input) && !(await isThere(input))) throw new InputNotDelivered(program, { cause: error })
      throw noRoomIn(folder, report, error) ?? (await this.#explain(program, error, report))
    }
    const report = read(result.stderr)
    const noRoom = noRoomIn(folder, report)
    if (noRoom) throw noRoom
    // The tool succeeds even where it takes a broken connection for the end of the file.
    if (report.delivery === 'broken') throw new InputNotDelivered(program)
    return { stdout: result.stdout, ...report }
  }

  /** Translates a failed run. */
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
    // Killed or timed out: perhaps not because of the file.
    if (error.exitCode === undefined || error.timedOut || error.isMaxBuffer) return failure
    if (hasBadArguments || CRASHES.has(error.exitCode)) return failure
    if (HOLDER_FAILED.test(complaints)) return new RetryLater(`${program} cannot be run`, { cause: failure })
    return (await this.works(program))
      ? new UnreadableInput(complaints)
      : new RetryLater(`${program} does not work`, { cause: failure })
  }

  /** What `program` prints about itself. Fails with `RetryLater` where it cannot be run at the moment. */
  async ask(program: string, args: readonly string[]): Promise<string> {
    try {
      return await this.#print(program, args)
    } catch (error) {
      throw new RetryLater(`${program} does not work`, { cause: error })
    }
  }

  /** The same, where it may also refuse the question. */
  async hear(program: string, args: readonly string[]): Promise<string> {
    try {
      return await this.#print(program, args)
    } catch (error) {
      const isAnswer = error instanceof ExecaError && error.exitCode !== undefined && !error.timedOut
      const said = isAnswer ? String(error.all) : ''
      if (isAnswer && !CRASHES.has(error.exitCode ?? 0) && !HOLDER_FAILED.test(said)) return said
      throw new RetryLater(`${program} does not work`, { cause: error })
    }
  }

  async #print(program: string, args: readonly string[]): Promise<string> {
    const limits = toolLimits(QUESTION_TIMEOUT_MS)
    const confined = await this.#sandbox.confine({ program, args, hasNetwork: false, limits })
    // Some tools print their version as a message.
    const { all } = await runProgram(confined.program, confined.args, {
      all: true,
      timeout: QUESTION_TIMEOUT_MS,
      killSignal: 'SIGKILL',
      env: this.#sandbox.environment,
    })
    return all
  }

  /** Whether a tool prints its version. Where not, it fails for every file: no verdict on this one. */
  async works(program: string): Promise<boolean> {
    try {
      return this.#trial.prints.test(await this.#print(program, this.#trial.args))
    } catch {
      // The first failure is the one that matters.
      return false
    }
  }
}

/** Whether a local file is there: a tool may have met it while it was removed. */
const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/** A full disk while writing, whether or not the tool reports it as an error. */
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

/** Output that is passed on and not kept. */
type Swallowed = { binary: true; transform: (chunk: unknown) => Generator<never, void> }

/** Passes output on as it arrives, and keeps none. */
export const discardOutput = (onChunk: (chunk: Uint8Array) => void): Swallowed => ({
  binary: true,
  *transform(chunk) {
    if (chunk instanceof Uint8Array) onChunk(chunk)
    yield* []
  },
})

/** Whether a tool reads this input over the network. */
export const isRemote = (input: string): boolean => !input.startsWith('/')

/** Options that this ffmpeg does not know, or a decoder that it was built without. */
const BAD_ARGUMENTS =
  /unrecognized option|option .* not found|decoder .* not found|no decoder|unknown decoder/i

/**
 * Exit codes of bubblewrap and shells for a program ended by a signal: ILL, TRAP, ABRT, BUS, FPE, KILL, SEGV, TERM,
 * XCPU, XFSZ, SYS.
 */
const CRASHES = new Set([4, 5, 6, 7, 8, 9, 11, 15, 24, 25, 31].map((signal) => 128 + signal))

/** The sandbox itself failed. */
const HOLDER_FAILED = /^(?:bwrap|prlimit|unshare|setpriv|mount|sh): /

function isUnavailable(error: ExecaError): boolean {
  return error.code === 'ENOENT' || error.code === 'EACCES'
}

function endOf({ exitCode, timedOut, isMaxBuffer, signal, code }: ExecaError): string {
  if (timedOut) return 'took too long'
  if (isMaxBuffer) return 'stderrText too much'
  if (signal !== undefined) return `was ended by ${signal}`
  return exitCode === undefined ? `failed with ${code ?? 'no reason'}` : `exited with ${exitCode}`
}
