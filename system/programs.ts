import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { execa } from 'execa'
import { SYSTEM_PATH } from './system-path.ts'

// Every program that Landfall runs is started by these two, so that none inherits our environment, which has secrets in it.
// The exception is a worker, which is Landfall itself: see server/embedded/worker-process.ts.

/** All that a program knows of the environment: where programs are, in directories separated by colons, and plain messages. */
export const programEnvironment = (path: string = SYSTEM_PATH): Record<string, string> => ({
  PATH: path,
  LC_ALL: 'C',
})

/** `execa` with that environment. A caller that gives `env` adds to it, or replaces what is in it. */
export const runProgram = execa({ env: programEnvironment(), extendEnv: false })

/** `spawn` with that environment: for what runs on beside us. */
export function startProgram(
  program: string,
  args: readonly string[],
  options: Omit<SpawnOptions, 'env'>,
): ChildProcess {
  return spawn(program, args, { ...options, env: programEnvironment() })
}
