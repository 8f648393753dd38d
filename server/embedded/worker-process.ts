import { fork } from 'node:child_process'
import { join } from 'node:path'
import type { Environment } from '../config.ts'
import type { Log } from '../process/log.ts'
import { supervise } from './supervise.ts'
import { workerEnvironment } from './worker-environment.ts'

const STOP_MS = 15_000

/** What a worker tells the server that has started it: in which sandbox its tools run. */
export type WorkerMessage = { sandbox: 'bwrap' | 'unshare' | 'none' }

/** Runs a worker as a child process, with the part of the environment that it needs. It ends with this process, even a killed one. */
export function superviseWorker(env: Environment, log: Log): { stop(): Promise<void> } {
  const program = join(import.meta.dirname, '..', '..', 'landfall.ts')
  // What one has found by a trial, the next takes from it. Where there is none, there may be one by then.
  let found: string[] = []
  return supervise({
    name: 'the worker',
    start() {
      // Over the channel it notices when we are gone.
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
    // It is configured to be so or so nice.
    nice: 0,
    stopMs: STOP_MS,
    log,
  })
}
