import { chmod, lstat, mkdir, readFile, realpath, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { isCode, onCode } from '../../system/error-code.ts'
import { namesIn } from '../../system/names-in.ts'

/** What this release and earlier ones create in it; an unfinished restore is left alone. */
const OURS = /^(objects|scratch|postgres|development-secret|clamd|clamd-[0-9a-f]+(\.json)?)$/
/** A folder of new file systems. */
const LOST_AND_FOUND = 'lost+found'
/** Files that are ignored. */
const NOBODYS = /^(restoring|\..*)$/

const NOT_TO_BE_HAD = ['EACCES', 'EPERM', 'ENOENT', 'ENOTDIR']

/**
 * The data directory is closed to other users. As root it can be passed through, as PostgreSQL and clamd run as other
 * users with folders in it. Our folders in it are closed by that, whatever their mode.
 */
const modeOf = (): number => (process.getuid?.() === 0 ? 0o711 : 0o700)

/** Creates the data directory where it is missing, and closes it: see `closeDataDirectory`. */
export async function makeDataDirectory(path: string): Promise<string[]> {
  const directory = resolve(path)
  const first = await mkdir(directory, { recursive: true, mode: 0o700 })
  if (first === undefined) return await closeDataDirectory(directory)
  // Its new parents have to be passable.
  for (let made = directory; ; made = dirname(made)) {
    await chmod(made, modeOf())
    if (made === first) return []
  }
}

/**
 * Closes a data directory and its folders to others: earlier releases left them open. Creates none: with an external
 * database and a bucket there is none. Returns what could not be closed, as sentences for the log.
 */
export async function closeDataDirectory(path: string): Promise<string[]> {
  const directory = resolve(path)
  const found = await stat(directory).catch(onCode(NOT_TO_BE_HAD, undefined))
  if (!found?.isDirectory()) return []
  const names = await namesIn(directory, ...NOT_TO_BE_HAD)
  const others = names.filter((name) => !OURS.test(name) && !NOBODYS.test(name) && name !== LOST_AND_FOUND)
  const open: string[] = []
  const { mode } = found
  // A directory with the sticky bit is shared, such as /tmp.
  if (others.length === 0 && (mode & 0o1000) === 0) open.push(...(await close(directory, mode, modeOf())))
  else if ((mode & 0o077 & ~modeOf()) !== 0)
    open.push(
      `${directory} is accessible to other users and is left unchanged, because it is not used by Landfall alone: it has ${others[0] ?? 'the sticky bit'}`,
    )
  for (const name of names.filter((one) => OURS.test(one))) {
    const found = await lstat(join(directory, name)).catch(() => undefined)
    // A link may lead anywhere.
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
    // Removed meanwhile: the folder of a clamd whose server has just stopped.
    if (isCode(error, 'ENOENT')) return []
    if (!isCode(error, 'EPERM', 'EROFS')) throw error
    return (mode & 0o066) === 0
      ? []
      : [
          `${path} is readable by other users, and its mode cannot be changed, because it belongs to another user`,
        ]
  }
}

/** The content of a folder; empty where it does not exist. A new file system counts as empty. */
export async function contentsOf(path: string): Promise<string[]> {
  const names = await namesIn(path)
  return names.filter((name) => name !== LOST_AND_FOUND)
}

/** Whether it is a mount point, which cannot be renamed. */
export async function isMountPoint(path: string): Promise<boolean> {
  const place = resolve(path)
  const found = await stat(place).catch(() => undefined)
  if (!found) return false
  const above = await stat(join(place, '..'))
  return (
    found.dev !== above.dev ||
    found.ino === above.ino ||
    (await mountedFolders()).includes(await realpath(place))
  )
}

/** Including bind mounts of the same file system, where the system lists them. */
async function mountedFolders(): Promise<string[]> {
  const lines = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '')
  return lines.split('\n').map((line) => {
    const escaped = line.split(' ')[4] ?? ''
    return escaped.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    )
  })
}
