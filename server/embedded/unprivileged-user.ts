import { runProgram } from '../../system/programs.ts'

/** As whom a program runs; empty where it runs as we do. */
export type RunAs = { uid?: number; gid?: number }

/** The user that a program runs as where we are root: made when missing. Empty where we are not. */
export async function unprivilegedUser(name: string): Promise<RunAs> {
  if (process.getuid?.() !== 0) return {}
  const idOf = async (flag: '-u' | '-g') => Number((await runProgram('id', [flag, name])).stdout)
  const found = await idOf('-u').then(
    () => true,
    () => false,
  )
  if (!found) await runProgram('useradd', ['--system', '--user-group', '--no-create-home', name])
  return { uid: await idOf('-u'), gid: await idOf('-g') }
}

/** Whether a path may be entered, or read, by that user. */
export async function may(what: 'enter' | 'read', path: string, runAs: RunAs): Promise<boolean> {
  const { exitCode } = await runProgram('test', [what === 'enter' ? '-x' : '-r', path], {
    ...runAs,
    reject: false,
  })
  return exitCode === 0
}
