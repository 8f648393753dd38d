import { lchown } from 'node:fs/promises'
import { runProgram } from '../../system/programs.ts'

/** The user of a program; empty for our own. */
export type RunAs = { uid?: number; gid?: number }

/** The user for a program where we are root, created when missing. Empty otherwise. */
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

/** Makes that user the owner of a path; of a link, not of what it leads to. */
export async function giveTo({ uid, gid }: RunAs, path: string): Promise<void> {
  if (uid !== undefined && gid !== undefined) await lchown(path, uid, gid)
}

/** Whether that user can enter, or read, a path. */
export async function canAccess(what: 'enter' | 'read', path: string, runAs: RunAs): Promise<boolean> {
  const { exitCode } = await runProgram('test', [what === 'enter' ? '-x' : '-r', path], {
    ...runAs,
    reject: false,
  })
  return exitCode === 0
}
