import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { NODE_FLAGS } from '../../server/process/node-flags.ts'
import { betweenLooks } from '../support/pauses.ts'
import { listProcesses, type ProcessLine } from '../support/processes.ts'

const MAIN = join(import.meta.dirname, '..', '..', 'landfall.ts')
const STOP_MS = 25_000
const LOG_LINES = 80
const LINE_CHARACTERS = 300

type Member = { child: ChildProcess; exited: Promise<unknown>; isKilled: boolean }

export type CrewOptions = {
  size: number
  /** The environment of the worker with this name. */
  env: (name: string) => Record<string, string>
}

/** Workers, each a process of its own. One that is killed is replaced at once; none may end by itself. */
export class Crew {
  /** What killed workers have left running: it has to end by itself. */
  readonly orphans: ProcessLine[] = []
  readonly #options: CrewOptions
  readonly #members = new Map<string, Member>()
  readonly #log: string[] = []
  #failure: Error | undefined
  #started = 0
  #isStopping = false

  readonly #killAll = () => {
    for (const { child } of this.#members.values()) child.kill('SIGKILL')
  }

  constructor(options: CrewOptions) {
    this.#options = options
    // Workers would go on for ever without a database.
    process.once('exit', this.#killAll)
    for (let i = 0; i < options.size; i++) this.#start()
  }

  /**
   * Kills a worker, and with it the tools that it runs if it `withTools`. Returns false when it is gone already.
   * @throws Error if there was no worker of this name
   */
  async kill(name: string, { withTools }: { withTools: boolean }): Promise<boolean> {
    const member = this.#members.get(name)
    if (!member) throw new Error(`there is no worker ${name}`)
    const { pid, exitCode, signalCode } = member.child
    const isGone = member.isKilled || exitCode !== null || signalCode !== null
    if (isGone || pid === undefined) return false
    member.isKilled = true
    // Looking around takes longer than a moment.
    process.kill(pid, 'SIGSTOP')
    const tools = (await listProcesses()).filter(({ parent }) => parent === pid)
    process.kill(pid, 'SIGKILL')
    if (withTools) for (const tool of tools) killIfThere(tool.pid)
    else this.orphans.push(...tools)
    this.#start()
    await member.exited
    return true
  }

  /** @throws Error if a worker has ended that nobody killed */
  check(): void {
    if (this.#failure) throw this.#failure
  }

  /** The last lines of what all of them logged. */
  log(): string {
    return this.#log.join('\n')
  }

  /** Resolves when nothing is left of what killed workers ran. @throws Error with what is left after so long */
  async untilOrphansGone(withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs
    for (;;) {
      const running = await listProcesses()
      // Numbers are given again.
      const left = this.orphans.filter((orphan) =>
        running.some(({ pid, command }) => pid === orphan.pid && command === orphan.command),
      )
      if (left.length === 0) return
      if (performance.now() > deadline) throw new Error(`still running: ${JSON.stringify(left)}`)
      await betweenLooks(200)
    }
  }

  /** Asks all of them to end. @throws Error with those that do not */
  async stop(): Promise<void> {
    this.#isStopping = true
    const stubborn: string[] = []
    await Promise.all(
      [...this.#members].map(async ([name, { child, exited }]) => {
        child.kill('SIGTERM')
        const timer = setTimeout(() => {
          stubborn.push(name)
          child.kill('SIGKILL')
        }, STOP_MS)
        await exited.finally(() => clearTimeout(timer))
      }),
    )
    process.off('exit', this.#killAll)
    if (stubborn.length > 0) throw new Error(`did not stop: ${stubborn.join(', ')}`)
  }

  #start(): void {
    const name = `worker-${++this.#started}`
    const child = spawn(process.execPath, [...NODE_FLAGS, MAIN, 'worker'], {
      env: { PATH: process.env.PATH, ...this.#options.env(name) },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const member: Member = { child, exited: once(child, 'exit'), isKilled: false }
    this.#members.set(name, member)
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.trimEnd().split('\n')) this.#log.push(`${name}: ${readable(line)}`)
      this.#log.splice(0, this.#log.length - LOG_LINES)
    })
    child.once('exit', (code, signal) => {
      if (member.isKilled || this.#isStopping) return
      this.#failure ??= new Error(`${name} ended by itself with ${code ?? signal}`)
    })
  }
}

/** A line of a worker's log, for people. */
function readable(line: string): string {
  try {
    const { time, msg, mediaId, err } = JSON.parse(line)
    const about = [mediaId, err?.message].filter((text) => text !== undefined).join(' ')
    return `${new Date(time).toISOString()} ${msg} ${about}`.slice(0, LINE_CHARACTERS)
  } catch {
    // Not all that a process writes is its log.
    return line.slice(0, LINE_CHARACTERS)
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended meanwhile.
  }
}
