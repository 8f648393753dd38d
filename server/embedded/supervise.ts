import type { ChildProcess } from 'node:child_process'
import { DEFAULT_NICE, lowerPriority } from '../../processing/low-priority.ts'
import type { Log } from '../log.ts'

const FIRST_RESTART_MS = 500
const MAX_RESTART_MS = 30_000
/** A child that ran this long was well; its next fall starts the waiting anew. */
const WELL_AFTER_MS = 60_000

export type SupervisedOptions = {
  /** For the log. */
  name: string
  /** Starts the child, in a process group of its own: Ctrl-C reaches us first, and we stop it in turn. */
  start: () => ChildProcess
  /** A child that does not end this long after SIGTERM is killed. */
  stopMs: number
  /** By how much it yields to others, 0 to 19; 0 where it sees to that itself. */
  nice?: number
  log: Log
}

/** Keeps a child process running: started again when it ends, after a pause that grows while it keeps ending. */
export function supervise({ name, start, stopMs, nice = DEFAULT_NICE, log }: SupervisedOptions): {
  stop(): Promise<void>
} {
  let child: ChildProcess | undefined
  let timer: NodeJS.Timeout | undefined
  let isStopping = false
  let delayMs = FIRST_RESTART_MS

  function run(): void {
    const startedAt = performance.now()
    const current = start()
    child = current
    // Whoever sends bytes goes before what is done with them afterwards.
    if (current.pid !== undefined) lowerPriority(current.pid, nice)
    let hasEnded = false
    const onEnd = (details: object) => {
      if (hasEnded || isStopping) return
      hasEnded = true
      if (performance.now() - startedAt > WELL_AFTER_MS) delayMs = FIRST_RESTART_MS
      log.error({ ...details, delayMs }, `${name} ended and will be started again`)
      timer = setTimeout(run, delayMs)
      delayMs = Math.min(delayMs * 2, MAX_RESTART_MS)
    }
    current.once('exit', (code, signal) => onEnd({ code, signal }))
    // It could not be started at all: no memory, no process left, no such program.
    current.on('error', (error) => onEnd({ err: error }))
  }

  run()
  return {
    async stop() {
      isStopping = true
      clearTimeout(timer)
      const running = child
      if (!running?.pid || running.exitCode !== null || running.signalCode !== null) return
      const exited = new Promise((resolve) => running.once('exit', resolve))
      running.kill('SIGTERM')
      const deadline = setTimeout(() => running.kill('SIGKILL'), stopMs)
      await exited
      clearTimeout(deadline)
    },
  }
}
