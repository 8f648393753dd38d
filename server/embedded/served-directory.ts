import { randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openConnection } from '../../ledger/connection.ts'
import { PROMPT_DEADLINES } from '../../ledger/deadlines.ts'
import { giveTo, type RunAs } from './unprivileged-user.ts'

/** The directory is a copy of one with a running database: its pid file names the original's process. */
export class CopiedDataDirectory extends Error {
  constructor(directory: string, served: string) {
    super(
      `${directory} is a copy of ${served}, made while its database ran: such a copy may be inconsistent, so it is not used, and the original is not changed. Use landfall backup and restore, or stop the original before you copy it`,
    )
    this.name = 'CopiedDataDirectory'
  }
}

/**
 * Whether the PostgreSQL at this address serves this very cluster, under any path: it must find a file that we have
 * just created there. Undefined without an answer; otherwise `true`, or the directory that it serves instead.
 */
export async function servesCluster(
  connectionString: string,
  cluster: string,
  owner: RunAs,
): Promise<true | string | undefined> {
  const client = await openConnection({
    connectionString,
    applicationName: 'landfall-start',
    deadlines: PROMPT_DEADLINES,
    // Refused, or "the database system is starting up".
  }).catch(() => undefined)
  if (!client) return undefined
  const name = `landfall-${randomBytes(8).toString('hex')}`
  const path = join(cluster, name)
  try {
    await writeFile(path, name, { mode: 0o600 })
    await giveTo(owner, path)
    const { rows } = await client.query<{ found: string | null; directory: string }>(
      "select pg_read_file($1, true) as found, current_setting('data_directory') as directory",
      [name],
    )
    return rows[0]?.found === name ? true : (rows[0]?.directory ?? 'another directory')
  } finally {
    await rm(path, { force: true })
    await client.end().catch(() => {
      // It has ended in the meantime: the next attempt shows it.
    })
  }
}
