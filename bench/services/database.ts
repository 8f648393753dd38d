import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openConnection } from '../../ledger/connection.ts'
import { ORDINARY_DEADLINES } from '../../ledger/deadlines.ts'
import { startEmbeddedPostgres } from '../../server/embedded/postgres.ts'
import { createLog } from '../../server/process/log.ts'

export type Database = {
  url: string
  /** The process that all others of its PostgreSQL descend from. */
  pid: number
}

/** A PostgreSQL, with a database to begin with. */
export type DatabaseServer = Database & {
  /** Makes an empty database beside the first: a ledger belongs to one place of files. */
  fresh(): Promise<Database>
  stop(): Promise<void>
}

/** Starts a PostgreSQL for Landfall, as durable as it is by default. */
export async function startDatabase(directory: string): Promise<DatabaseServer> {
  const postgres = await startEmbeddedPostgres(directory, createLog({ level: 'warn', name: 'bench' }))
  const notes = await readFile(join(directory, 'cluster', 'postmaster.pid'), 'utf8')
  const pid = Number(notes.split('\n', 1)[0])
  const { connectionString } = postgres
  let made = 0
  return {
    url: connectionString,
    pid,
    async fresh() {
      const name = `bench_${++made}`
      const client = await openConnection({
        connectionString,
        applicationName: 'bench',
        deadlines: ORDINARY_DEADLINES,
      })
      try {
        await client.query(`create database ${name}`)
      } finally {
        await client.end()
      }
      return { url: Object.assign(new URL(connectionString), { pathname: `/${name}` }).href, pid }
    },
    stop: () => postgres.stop(),
  }
}
