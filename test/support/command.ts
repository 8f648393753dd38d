import { join } from 'node:path'
import { execa } from 'execa'

const MAIN = join(import.meta.dirname, '..', '..', 'landfall.ts')

/** Starts a command as a process of its own, which the caller may kill. */
export function startCommand(
  dataDirectory: string,
  args: readonly string[],
  env: Record<string, string> = {},
) {
  const { PATH, NODE_COMPILE_CACHE } = process.env
  return execa(process.execPath, [MAIN, ...args], {
    env: { PATH, NODE_COMPILE_CACHE, DATA_DIR: dataDirectory, ...env },
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    timeout: 120_000,
  })
}

/** Runs a command as a process of its own on a `DATA_DIR`, with these variables and no others. */
export async function runCommand(
  dataDirectory: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ exitCode: number | undefined; stdout: string; stderr: string }> {
  const { exitCode, stdout, stderr } = await startCommand(dataDirectory, args, env)
  return { exitCode, stdout, stderr }
}
