import { fork } from 'node:child_process'
import { join } from 'node:path'
import type { Environment } from '../config.ts'
import type { Log } from '../process/log.ts'
import { supervise } from './supervise.ts'
import { workerEnvironment } from './worker-environment.ts'

const STOP_MS = 15_000

/** A worker's message to its server: the sandbox of its tools. */
export type WorkerMessage = { sandbox: 'bwrap' | 'unshare' | 'none' }

/** Runs a worker as a child process with a reduced environment. It ends with this process, even a killed one. */
export function superviseWorker(env: Environment, log: Log): { stop(): Promise<void> } {
  const program = join(import.meta.dirname, '..', '..', 'landfall.ts')
  // A sandbox that was found is reused by the next worker; without one, it tries again.
  let found: string[] = []
  return supervise({
    name: 'the worker',
    start() {
      // By the channel it notices our end.
      const worker = fork(program, ['worker', ...found], {
        env: workerEnvironment(env),
        detached: true,
        stdio: ['ignore', 2, 2, 'ipc'],
      })
      worker.on('message', ({ sandbox }: WorkerMessage) => {
        found = sandbox === 'none' ? [] : [`--sandbox=${sandbox}`]
      })
      return worker
    },
    // It sets its priority itself.
    nice: 0,
    stopMs: STOP_MS,
    log,
  })
}
