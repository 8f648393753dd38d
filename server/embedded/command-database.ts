import { readFile, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { LedgerClient } from '../../ledger/connection.ts'
import { MAINTENANCE_DEADLINES, ORDINARY_DEADLINES } from '../../ledger/deadlines.ts'
import { isCode } from '../../system/error-code.ts'
import { pathExists } from '../../system/path-exists.ts'
import type { Log } from '../process/log.ts'
import { notedServer, startEmbeddedPostgres } from './postgres.ts'
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
  /** Whether a server or another command was running it already. */
  wasRunning: boolean
  stop(): Promise<void>
}

/** As for a server: PostgreSQL may have to recover from a crash. */
const STARTING_MS = 30_000
/** A process that does not listen by then is not starting: its pid belongs to another program. */
const LISTENING_MS = 5_000
const RETRY_MS = 100
const ATTEMPTS = 3
/** It is starting, recovering or stopping, or has not created its database yet. */
const NOT_YET = ['57P03', '3D000']
/** Any number. Shared: a command uses this database; exclusive: it is about to stop. */
const GUESTS = 7_263_493
const GUEST = { application_name: 'landfall-command' }

/**
 * The embedded database below a `DATA_DIR`, for a command. Where a server runs, it is the running one; otherwise it is
 * started, and locked like by a server, so that none starts meanwhile. Creates nothing: fails with `NoEmbeddedDatabase`
 * where there is none.
 */
export async function openCommandDatabase(dataDirectory: string, log: Log): Promise<CommandDatabase> {
  const directory = join(dataDirectory, 'postgres')
  if (!(await pathExists(join(directory, 'cluster', 'PG_VERSION'))))
    throw new NoEmbeddedDatabase(dataDirectory)
  for (let attempt = 1; ; attempt++) {
    const running = await joinRunning(directory)
    if (running !== undefined) return running
    try {
      const { connectionString, stop } = await startEmbeddedPostgres(directory, log)
      return { connectionString, wasRunning: false, stop: () => stopUnused(connectionString, stop) }
    } catch (error) {
      // A server, or another command, was faster: it is running now.
      if (attempt === ATTEMPTS || error instanceof CopiedDataDirectory) throw error
    }
  }
}

/** Connects to the PostgreSQL of this directory; undefined when none runs. */
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

/** The server at this port may serve another directory: this one may be a copy, with its pid file and password. */
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
    return isCode(error, ...NOT_YET) ? 'starting' : 'silent'
  }
}

/** Stops the database after the last command that uses it, and lets no further one connect. */
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

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return isCode(error, 'EPERM')
  }
}
