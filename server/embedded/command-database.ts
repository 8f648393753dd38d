import { access, readFile, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { LedgerClient } from '../../ledger/connection.ts'
import { MAINTENANCE_DEADLINES, ORDINARY_DEADLINES } from '../../ledger/deadlines.ts'
import type { Log } from '../process/log.ts'
import { startEmbeddedPostgres } from './postgres.ts'
import { CopiedDataDirectory } from './served-directory.ts'

/** There is no embedded database below this directory. */
export class NoEmbeddedDatabase extends Error {
  constructor(dataDirectory: string) {
    super(`there is no database below ${dataDirectory}`)
    this.name = 'NoEmbeddedDatabase'
  }
}

export type CommandDatabase = {
  connectionString: string
  /** Whether a server or another command had it running already. */
  wasRunning: boolean
  stop(): Promise<void>
}

/** As long as PostgreSQL may recover from a crash, as for a server. */
const STARTING_MS = 30_000
/** A process that does not listen within this time is not starting: its pid belongs to another program. */
const LISTENING_MS = 5_000
const RETRY_MS = 100
const ATTEMPTS = 3
/** It is starting, recovering or stopping, or has not made its database yet. */
const NOT_YET = new Set(['57P03', '3D000'])
/** Any number: held shared it means "a command uses this database", held alone "it is about to stop". */
const GUESTS = 7_263_493
const GUEST = { application_name: 'landfall-command' }

/**
 * The embedded database below a `DATA_DIR`, for as long as a command takes. It is the running one where a server
 * is up. Otherwise it is started, and held like a server holds it, so that no server starts meanwhile. Makes nothing
 * where there is none: fails with `NoEmbeddedDatabase`.
 */
export async function openCommandDatabase(dataDirectory: string, log: Log): Promise<CommandDatabase> {
  const directory = join(dataDirectory, 'postgres')
  if (!(await isThere(join(directory, 'cluster', 'PG_VERSION')))) throw new NoEmbeddedDatabase(dataDirectory)
  for (let attempt = 1; ; attempt++) {
    const running = await joinRunning(directory)
    if (running !== undefined) return running
    try {
      const { connectionString, stop } = await startEmbeddedPostgres(directory, log)
      return { connectionString, wasRunning: false, stop: () => stopUnused(connectionString, stop) }
    } catch (error) {
      // A server, or another command, was quicker: then it runs now.
      if (attempt === ATTEMPTS || error instanceof CopiedDataDirectory) throw error
    }
  }
}

/** Joins the PostgreSQL that serves this very directory; undefined when none does. */
async function joinRunning(directory: string): Promise<CommandDatabase | undefined> {
  const cluster = join(directory, 'cluster')
  const password = await readFile(join(directory, 'password'), 'utf8')
  const startedAt = performance.now()
  for (;;) {
    const noted = await notedServer(cluster)
    if (noted === undefined) return undefined
    const connectionString = `postgres://landfall:${password}@127.0.0.1:${noted.port}/landfall`
    const client = new LedgerClient({ connectionString, ...GUEST }, ORDINARY_DEADLINES)
    // It may end while it is used.
    client.on('error', () => {})
    const state = await ask(client, cluster)
    if (state === 'joined') return { connectionString, wasRunning: true, stop: () => client.end() }
    await client.end().catch(() => {
      // It never was connected.
    })
    const waitMs = state === 'starting' ? STARTING_MS : isAlive(noted.pid) ? LISTENING_MS : 0
    if (state === 'other' || performance.now() - startedAt > waitMs) return undefined
    await sleep(RETRY_MS)
  }
}

/** What answers may serve another directory: this one may be a copy, pid file and password included. */
async function ask(
  client: LedgerClient,
  cluster: string,
): Promise<'joined' | 'other' | 'starting' | 'silent'> {
  try {
    await client.connect()
    const { rows } = await client.query<{ data_directory: string }>('show data_directory')
    const served = await realpath(rows[0]?.data_directory ?? '').catch(() => undefined)
    if (served !== (await realpath(cluster))) return 'other'
    const guest = await client.query<{ held: boolean }>(
      'select pg_try_advisory_lock_shared($1::bigint) as held',
      [GUESTS],
    )
    return guest.rows[0]?.held ? 'joined' : 'starting'
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    return NOT_YET.has(String(code)) ? 'starting' : 'silent'
  }
}

/**
 * Other commands may have joined meanwhile: the one that started the database stops it after the last of them, and
 * lets nobody join any more.
 */
async function stopUnused(connectionString: string, stop: () => Promise<void>): Promise<void> {
  const client = new LedgerClient({ connectionString, ...GUEST }, MAINTENANCE_DEADLINES)
  // It ends with the database.
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('select pg_advisory_lock($1::bigint)', [GUESTS])
  } finally {
    await stop()
  }
}

/** The process and port of the last server of this cluster, from its pid file. */
async function notedServer(cluster: string): Promise<{ pid: number; port: number } | undefined> {
  const lines = await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '')
  const [pid, , , port] = lines.split('\n').map(Number)
  return pid && port ? { pid, port } : undefined
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}
