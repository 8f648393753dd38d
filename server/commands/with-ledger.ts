import { type Ledger, openDatabase } from '../../ledger/database.ts'
import { type Config, ConfigError, type Environment, parseConfig } from '../config.ts'
import { createLog } from '../log.ts'
import { Releasers } from '../releasers.ts'

export type LedgerCommand = {
  config: Config
  db: Ledger
  connectionString: string
  onError: (error: unknown) => void
  /** For what the command opens besides; closed in the reverse order, before the database. */
  releasers: Releasers
}

/**
 * Does the work of a command on the ledger of the server it works for, and closes whatever was opened. Gives the
 * exit code. Fails with `ConfigError`, also without a database.
 */
export async function withLedger(
  env: Environment,
  name: string,
  work: (command: LedgerCommand) => Promise<number>,
): Promise<number> {
  const config = parseConfig(env, { auth: false })
  const { DATABASE_URL: connectionString } = config
  if (connectionString === undefined) {
    throw new ConfigError([
      `DATABASE_URL: "" is not accepted; ${name} takes the database of the server it works for`,
    ])
  }
  const applicationName = `landfall-${name}`
  const log = createLog({ level: config.LOG_LEVEL, name: applicationName })
  const onError = (error: unknown) => log.error({ err: error }, 'background work failed')
  const releasers = new Releasers()
  try {
    const db = openDatabase({ connectionString, maxConnections: 3, applicationName, onPoolError: onError })
    releasers.add('database', () => db.destroy())
    return await work({ config, db, connectionString, onError, releasers })
  } finally {
    await releasers.releaseAll(log)
  }
}
