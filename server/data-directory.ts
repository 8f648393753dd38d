import { chmod, lstat, mkdir, readdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { isCode } from '../storage/error-code.ts'

/** What Landfall makes in it, this release and earlier ones; what is in it while a restore works is left to that. */
const OURS = /^(objects|scratch|postgres|development-secret|clamd|clamd-[0-9a-f]+(\.json)?)$/
/** What belongs to no one, or to the file system. */
const NOBODYS = /^(restoring|lost\+found|\..*)$/

const NOT_TO_BE_HAD = ['EACCES', 'EPERM', 'EROFS', 'ENOENT', 'ENOTDIR', 'EEXIST']

/**
 * The data directory is its owner's alone. As root it can be passed through, and no more: PostgreSQL and clamd then run
 * as other users, whose folders are in it. What a folder of ours holds is closed by that, whatever its own mode.
 */
const modeOf = (): number => (process.getuid?.() === 0 ? 0o711 : 0o700)

/**
 * Makes the data directory, or closes one that is there, and the folders in it, to others: earlier releases left them
 * open. Returns what it could not close, as sentences for the log.
 */
export async function prepareDataDirectory(path: string): Promise<string[]> {
  const directory = resolve(path)
  const first = await mkdir(directory, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    if (isCode(error, ...NOT_TO_BE_HAD)) return null
    throw error
  })
  // With a database and a bucket elsewhere nothing is kept there; whoever does keep something says that it cannot.
  if (first === null) return []
  if (first !== undefined) {
    // Those above it are new as well, and have to be passed through.
    for (let made = directory; ; made = dirname(made)) {
      await chmod(made, modeOf())
      if (made === first) return []
    }
  }
  const names = await readdir(directory).catch((error: unknown) => {
    if (isCode(error, ...NOT_TO_BE_HAD)) return []
    throw error
  })
  const others = names.filter((name) => !OURS.test(name) && !NOBODYS.test(name))
  const open: string[] = []
  const { mode } = await stat(directory)
  if (others.length === 0) open.push(...(await close(directory, mode, modeOf())))
  else if ((mode & 0o077 & ~modeOf()) !== 0)
    open.push(
      `${directory} is open to others, and is left so, as there is something else in it: ${others[0]}`,
    )
  for (const name of names.filter((one) => OURS.test(one))) {
    const found = await lstat(join(directory, name)).catch(() => undefined)
    // Where a link leads to may be anything.
    if (!found || found.isSymbolicLink() || (found.mode & 0o077) === 0) continue
    open.push(...(await close(join(directory, name), found.mode, found.mode & 0o700)))
  }
  return open
}

async function close(path: string, mode: number, wanted: number): Promise<string[]> {
  if ((mode & 0o7777) === wanted) return []
  try {
    await chmod(path, wanted)
    return []
  } catch (error) {
    // It has gone: a clamd's, of a server that has just stopped.
    if (isCode(error, 'ENOENT')) return []
    if (!isCode(error, 'EPERM', 'EROFS')) throw error
    return (mode & 0o066) === 0
      ? []
      : [`${path} can be read by others, and cannot be closed, as it is not ours`]
  }
}
