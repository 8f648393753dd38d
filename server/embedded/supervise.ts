import type { ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { lowerPriority } from '../../system/low-priority.ts'
import type { Log } from '../process/log.ts'

const FIRST_RESTART_MS = 500
const MAX_RESTART_MS = 30_000
/** A child that ran this long was fine: after its next end the pauses begin anew. */
const WELL_AFTER_MS = 60_000

/** How to find out that a child hangs. */
export type Health = {
  answers: () => Promise<boolean>
  /** Interval between health checks. */
  everyMs: number
  /** Limit for a child that has answered before. */
  silentMs: number
  /** Limit for the first answer. */
  startMs: number
}

export type SupervisedOptions = {
  /** For the log. */
  name: string
  /** Starts the child in a process group of its own: Ctrl-C reaches us first, and we stop it. */
  start: () => ChildProcess | Promise<ChildProcess>
  /** With it, a child that hangs is killed, and so restarted. */
  health?: Health
  /** Time between SIGTERM and SIGKILL. */
  stopMs: number
  /** How much lower its priority is, 0 to 19; 0 where it sets that itself. */
  nice: number
  log: Log
}

/** Keeps a child process running: restarts it when it ends, after a pause that grows while it keeps ending. */
export function supervise(options: SupervisedOptions): { stop(): Promise<void> } {
  const { name, log, health, nice } = options
  const stopping = new AbortController()
  const { signal } = stopping
  let child: ChildProcess | undefined

  async function run(): Promise<void> {
    let delayMs = FIRST_RESTART_MS
    while (!signal.aborted) {
      const startedAt = performance.now()
      const details = await untilEnd()
      if (signal.aborted) return
      if (performance.now() - startedAt > WELL_AFTER_MS) delayMs = FIRST_RESTART_MS
      log.error({ ...details, delayMs }, `${name} exited and will be restarted`)
      await pause(delayMs, signal)
      delayMs = Math.min(delayMs * 2, MAX_RESTART_MS)
    }
  }

  /** Starts it and resolves, when it has ended or could not be started, with the reason as far as it is known. */
  async function untilEnd(): Promise<object> {
    const ended = new AbortController()
    try {
      const starting = options.start()
      // At once: a child that could not be started emits its error soon.
      const current = starting instanceof Promise ? await starting : starting
      child = current
      // Uploads have priority over processing.
      if (current.pid !== undefined) lowerPriority(current.pid, nice)
      const { promise, resolve } = Promise.withResolvers<object>()
      current.once('exit', (code, by) => resolve({ code, signal: by }))
      // It could not be started: no memory, no processes left, no such program.
      current.on('error', (error) => resolve({ err: error }))
      if (signal.aborted) current.kill('SIGTERM')
      if (health) void killWhenHung(current, health, ended.signal)
      return await promise
    } catch (error) {
      return { err: error }
    } finally {
      ended.abort()
    }
  }

  async function killWhenHung(current: ChildProcess, { answers, ...times }: Health, ended: AbortSignal) {
    let hasAnswered = false
    let heardAt = performance.now()
    for (;;) {
      if (await answers()) {
        hasAnswered = true
        heardAt = performance.now()
      }
      if (ended.aborted || signal.aborted) return
      const silentMs = performance.now() - heardAt
      if (silentMs > (hasAnswered ? times.silentMs : times.startMs)) {
        log.error({ silentMs: Math.round(silentMs) }, `${name} does not respond and is killed`)
        current.kill('SIGKILL')
        return
      }
      await pause(times.everyMs, ended)
    }
  }

  const running = run()
  return {
    async stop() {
      stopping.abort()
      child?.kill('SIGTERM')
      const deadline = setTimeout(() => child?.kill('SIGKILL'), options.stopMs)
      await running
      clearTimeout(deadline)
    },
  }
}

/** Ends early, without an error, when the signal is aborted. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {})
}
