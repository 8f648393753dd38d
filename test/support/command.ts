import { join } from 'node:path'
import { execa } from 'execa'

const MAIN = join(import.meta.dirname, '..', '..', 'server', 'main.ts')

/** Runs a command as a process of its own on a `DATA_DIR`, with these variables and no others. */
export async function runCommand(
  dataDirectory: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ exitCode: number | undefined; stdout: string; stderr: string }> {
  const { exitCode, stdout, stderr } = await execa(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env.PATH ?? '', DATA_DIR: dataDirectory, ...env },
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    timeout: 120_000,
  })
  return { exitCode, stdout, stderr }
}
