import { randomBytes } from 'node:crypto'
import { lstat, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathExists } from '../../system/path-exists.ts'
import { startProgram } from '../../system/programs.ts'
import { clamdVersion } from '../health/clamd-link.ts'
import type { Log } from '../process/log.ts'
import {
  clamdArguments,
  configFileIn,
  emptyFolder,
  recordPath,
  removeFolder,
  stopLeftoverClamds,
  writeRecord,
} from './clamd-records.ts'
import { type Health, supervise } from './supervise.ts'
import { canAccess, giveTo, type RunAs, unprivilegedUser } from './unprivileged-user.ts'

export type OwnClamd = {
  /** Its address from the start to `stop`, across restarts. */
  address: { socketPath: string }
  stop(): Promise<void>
}

export type OwnClamdOptions = {
  dataDirectory: string
  /** Signature directories in order of preference; the last one is the bundled test database. */
  signatureDirectories: readonly string[]
  /** Directories to find clamd in, separated by colons. */
  searchPath: string
  /** How much lower its priority is, 0 to 19. */
  nice: number
  log: Log
  /** Other intervals, for tests. */
  health?: Partial<Omit<Health, 'answers'>>
}

/** The user of Debian's package. */
const USER = 'clamav'
/** Daemons are often outside of a user's PATH. */
const SYSTEM_DIRECTORIES = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/sbin']
/** The length of `sun_path` where it is shortest (macOS), without the final zero. */
const MAX_SOCKET_PATH_BYTES = 103
const STOP_MS = 5_000
/**
 * Loading signatures takes half a minute, or minutes on a busy machine. After that VERSION is answered at once, also
 * during scans.
 */
const HEALTH = { everyMs: 10_000, silentMs: 60_000, startMs: 10 * 60_000 }
const ANSWER_MS = 5_000

/**
 * Runs a clamd for this server alone, and restarts it when it ends or hangs. It listens on a socket in a folder that
 * only its user can enter, and on no port; as root we run it as the user `clamav`. Does not wait for signatures to be
 * loaded. Where clamd is not installed, nothing answers at the address.
 */
export async function startOwnClamd(options: OwnClamdOptions): Promise<OwnClamd> {
  const { dataDirectory, log } = options
  await stopLeftoverClamds(dataDirectory, log)
  const id = randomBytes(4).toString('hex')
  const program = await findClamd(options.searchPath)
  if (program === undefined) {
    log.error(
      'clamd is not installed: files are neither scanned nor served. Install it and restart this server, set CLAMD_URL, or set SCAN=off',
    )
    return { address: { socketPath: join(dataDirectory, `clamd-${id}`, 'clamd.sock') }, async stop() {} }
  }
  const signatures = await firstWithSignatures(options.signatureDirectories)
  const runAs = await userFor(signatures, log)
  const folder = await folderFor(dataDirectory, id, runAs)
  const socketPath = join(folder, 'clamd.sock')
  const record = recordPath(dataDirectory, id)
  await writeRecord(record, { folder, socketPath })
  const clamd = supervise({
    name: 'clamd',
    async start() {
      await prepareFolder(folder, runAs, configuration({ folder, socketPath, signatures, runAs }))
      const child = startProgram(program, clamdArguments(folder), {
        ...runAs,
        cwd: '/',
        detached: true,
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        log.warn({ clamd: text.trim() }, 'message from clamd')
      })
      return child
    },
    health: { ...HEALTH, ...options.health, answers: () => answers(socketPath) },
    nice: options.nice,
    stopMs: STOP_MS,
    log,
  })
  return {
    address: { socketPath },
    async stop() {
      await clamd.stop()
      await removeFolder(folder)
      await rm(record, { force: true })
    },
  }
}

/** The program; undefined where it is not installed. */
export async function findClamd(searchPath: string): Promise<string | undefined> {
  for (const directory of [...searchPath.split(':'), ...SYSTEM_DIRECTORIES]) {
    if (await pathExists(join(directory, 'clamd'))) return join(directory, 'clamd')
  }
  return undefined
}

async function answers(socketPath: string): Promise<boolean> {
  return await clamdVersion({ socketPath }, ANSWER_MS).then(
    () => true,
    () => false,
  )
}

/** As root, the user `clamav`: unless there is none, or it cannot read the signatures. */
async function userFor(signatures: Signatures, log: Log): Promise<RunAs> {
  try {
    const runAs = await unprivilegedUser(USER)
    if (await canAccess('read', signatures.file, runAs)) return runAs
    log.warn(
      { signatures: signatures.directory },
      `clamd runs as root: the user ${USER} cannot read the signatures`,
    )
  } catch (error) {
    log.warn({ err: error }, `clamd runs as root: there is no user ${USER}`)
  }
  return {}
}

/**
 * Folder of its socket and files: below the data directory, or in the system's temporary directory where its user has
 * no access, or the path is too long for a socket.
 */
async function folderFor(dataDirectory: string, id: string, runAs: RunAs): Promise<string> {
  const folders = [
    join(dataDirectory, `clamd-${id}`),
    ...[tmpdir(), '/tmp'].map((directory) => join(directory, `landfall-clamd-${id}`)),
  ]
  for (const folder of folders) {
    const isShort = Buffer.byteLength(join(folder, 'clamd.sock')) <= MAX_SOCKET_PATH_BYTES
    if (isShort && (await canAccess('enter', dirname(folder), runAs))) return folder
  }
  throw new Error(`clamd has no usable folder for its socket: ${folders.join(', ')}`)
}

/** Leaves only the configuration in it: files of a killed clamd are of no use. */
async function prepareFolder(folder: string, runAs: RunAs, text: string): Promise<void> {
  await mkdir(folder, { mode: 0o700 }).then(
    () => giveTo(runAs, folder),
    () => {
      // It exists from an earlier start and is checked below; or cannot be created, and the check fails.
    },
  )
  const found = await lstat(folder)
  const isOurs = found.isDirectory() && found.uid === (runAs.uid ?? process.getuid?.() ?? found.uid)
  if (!isOurs || (found.mode & 0o077) !== 0) throw new Error(`${folder} does not belong to clamd`)
  await emptyFolder(folder)
  // Its user may have put links there: a newly created file follows none.
  await writeFile(configFileIn(folder), text, { mode: 0o600, flag: 'wx' })
  await giveTo(runAs, configFileIn(folder))
}

type Places = { folder: string; socketPath: string; signatures: Signatures; runAs: RunAs }

function configuration({ folder, socketPath, signatures, runAs }: Places): string {
  const lines = [
    'Foreground yes',
    `DatabaseDirectory ${signatures.directory}`,
    `TemporaryDirectory ${folder}`,
    `LocalSocket ${socketPath}`,
    'LocalSocketMode 600',
    // As root clamd changes to the user of its package, unless told otherwise; it runs as the right one already.
    ...(process.getuid?.() === 0 && runAs.uid === undefined ? ['User root'] : []),
    // Beyond its limits clamd answers OK by default; the largest file it can scan is below 2 GiB.
    'StreamMaxLength 4000M',
    'MaxScanSize 4000M',
    'MaxFileSize 2000M',
    'AlertExceedsMax yes',
    'MaxThreads 4',
  ]
  return `${lines.join('\n')}\n`
}

type Signatures = { directory: string /** One of its files. */; file: string }

async function firstWithSignatures(directories: readonly string[]): Promise<Signatures> {
  for (const directory of directories.slice(0, -1)) {
    for (const name of ['main.cvd', 'main.cld', 'daily.cvd', 'daily.cld']) {
      const file = join(directory, name)
      if (await pathExists(file)) return { directory, file }
    }
  }
  const last = directories.at(-1)
  if (last === undefined) throw new Error('no signature directory given')
  return { directory: last, file: join(last, 'eicar.ndb') }
}
