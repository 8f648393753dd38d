import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startEmbeddedPostgres } from '../../server/embedded/postgres.ts'
import { createLog } from '../../server/log.ts'

export type Database = {
  url: string
  /** The process that all its others descend from. */
  pid: number
  stop(): Promise<void>
}

/** Starts a PostgreSQL for Landfall, as durable as it is by default. */
export async function startDatabase(directory: string): Promise<Database> {
  const postgres = await startEmbeddedPostgres(directory, createLog({ level: 'warn', name: 'bench' }))
  const notes = await readFile(join(directory, 'cluster', 'postmaster.pid'), 'utf8')
  return {
    url: postgres.connectionString,
    pid: Number(notes.split('\n', 1)[0]),
    stop: () => postgres.stop(),
  }
}
