import { fork } from 'node:child_process'
import { join } from 'node:path'
import type { Environment } from '../config.ts'
import type { Log } from '../log.ts'
import { supervise } from './supervise.ts'
import { workerEnvironment } from './worker-environment.ts'

const STOP_MS = 15_000

/** Runs a worker as a child process, with the part of the environment that it needs. It ends with this process, even a killed one. */
export function superviseWorker(env: Environment, log: Log): { stop(): Promise<void> } {
  const program = join(import.meta.dirname, '..', 'main.ts')
  return supervise({
    name: 'the worker',
    // Over the channel it notices when we are gone.
    start: () =>
      fork(program, ['worker'], {
        env: workerEnvironment(env),
        detached: true,
        stdio: ['ignore', 2, 2, 'ipc'],
      }),
    // It is configured to be so or so nice.
    nice: 0,
    stopMs: STOP_MS,
    log,
  })
}
