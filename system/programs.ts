import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { execa } from 'execa'
import { SYSTEM_PATH } from './system-path.ts'

// Every program that Landfall runs is started by these two, so that none inherits our environment with its secrets. The
// exception is a worker, which is Landfall itself: see server/embedded/worker-process.ts.

/** The environment of a program: where programs are, in directories separated by colons, and untranslated messages. */
export const programEnvironment = (path: string = SYSTEM_PATH): Record<string, string> => ({
  PATH: path,
  LC_ALL: 'C',
})

/** `execa` with that environment, to which `env` of a caller is added. */
export const runProgram = execa({ env: programEnvironment(), extendEnv: false })

/** `spawn` with that environment, for long-running programs. */
export function startProgram(
  program: string,
  args: readonly string[],
  options: Omit<SpawnOptions, 'env'>,
): ChildProcess {
  return spawn(program, args, { ...options, env: programEnvironment() })
}
