import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import type { Environment } from '../config.ts'
import type { Log } from '../log.ts'

const FIRST_RESTART_MS = 500
const MAX_RESTART_MS = 30_000
/** A worker that ran this long was well; its next fall starts the waiting anew. */
const WELL_AFTER_MS = 60_000
const STOP_MS = 15_000

/** Runs a worker as a child process and starts it again when it falls. It ends with this process, even a killed one. */
export function superviseWorker(env: Environment, log: Log): { stop(): Promise<void> } {
  let child: ChildProcess | undefined
  let timer: NodeJS.Timeout | undefined
  let isStopping = false
  let delayMs = FIRST_RESTART_MS

  function start(): void {
    const startedAt = performance.now()
    // In a group of its own, so that Ctrl-C reaches us first; over the channel it notices when we are gone.
    child = fork(join(import.meta.dirname, '..', 'main.ts'), ['worker'], {
      env,
      detached: true,
      stdio: ['ignore', 2, 2, 'ipc'],
    })
    child.once('exit', (code, signal) => {
      if (isStopping) return
      if (performance.now() - startedAt > WELL_AFTER_MS) delayMs = FIRST_RESTART_MS
      log.error({ code, signal, delayMs }, 'the worker ended and will be started again')
      timer = setTimeout(start, delayMs)
      delayMs = Math.min(delayMs * 2, MAX_RESTART_MS)
    })
  }

  start()
  return {
    async stop() {
      isStopping = true
      clearTimeout(timer)
      const running = child
      if (!running || running.exitCode !== null || running.signalCode !== null) return
      const exited = new Promise((resolve) => running.once('exit', resolve))
      running.kill('SIGTERM')
      const deadline = setTimeout(() => running.kill('SIGKILL'), STOP_MS)
      await exited
      clearTimeout(deadline)
    },
  }
}
