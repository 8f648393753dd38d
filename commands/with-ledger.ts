import { type Ledger, openDatabase } from '../ledger/database.ts'
import { type Deadlines, ORDINARY_DEADLINES } from '../ledger/deadlines.ts'
import { pingDatabase } from '../ledger/ping.ts'
import { schemaProblem, schemaState } from '../ledger/schema-state.ts'
import { type Config, ConfigError, type Environment, parseConfig } from '../server/config.ts'
import { NoEmbeddedDatabase, openCommandDatabase } from '../server/embedded/command-database.ts'
import { refuseRestoring } from '../server/embedded/restoring.ts'
import { CommandFailure } from '../server/process/command-failure.ts'
import { createLog, type Log } from '../server/process/log.ts'
import { messageOf } from '../server/process/message-of.ts'
import { Releasers } from '../server/process/releasers.ts'
import { inTime } from '../system/in-time.ts'

export type LedgerCommand = {
  config: Config
  db: Ledger
  connectionString: string
  log: Log
  onError: (error: unknown) => void
  /** Closed in reverse order, before the database. */
  releasers: Releasers
}

/** Commands that end uploads or media items log each end. */
const ENDS_UPLOADS: ReadonlySet<string> = new Set(['reap'])

/** How long a database may take to answer first. */
const ANSWER_MS = 15_000

/**
 * Runs a command on the database of its server: that of `DATABASE_URL`, or the embedded one below `DATA_DIR`, which is
 * started meanwhile where no server runs. Closes what it opened. Creates nothing in a database that is not Landfall's
 * or not up to date: fails with `CommandFailure`, and with `ConfigError` where there is no database.
 */
export async function withLedger<T>(
  env: Environment,
  name: string,
  work: (command: LedgerCommand) => Promise<T>,
  deadlines: Deadlines = ORDINARY_DEADLINES,
): Promise<T> {
  const checked = async (command: LedgerCommand) => {
    await checkSchema(command.db)
    return await work(command)
  }
  return await withDatabase(env, name, checked, deadlines)
}

/** As `withLedger`, for any content of the database: for commands that migrate or check it. */
export async function withDatabase<T>(
  env: Environment,
  name: string,
  work: (command: LedgerCommand) => Promise<T>,
  deadlines: Deadlines = ORDINARY_DEADLINES,
): Promise<T> {
  const config = parseConfig(env, { auth: false })
  const applicationName = `landfall-${name}`
  // A command prints its result; only warnings are logged, unless `LOG_LEVEL` is set.
  const level = env.LOG_LEVEL ? config.LOG_LEVEL : ENDS_UPLOADS.has(name) ? 'info' : 'warn'
  const log = createLog({ level, name: applicationName })
  const onError = (error: unknown) => log.error({ err: error }, 'background work failed')
  await refuseRestoring(config.DATA_DIR).catch((error: unknown) => {
    throw new CommandFailure(messageOf(error), { cause: error })
  })
  const releasers = new Releasers()
  try {
    const connectionString = config.DATABASE_URL ?? (await embeddedDatabase(config, name, log, releasers))
    const db = openDatabase({
      connectionString,
      maxConnections: 3,
      applicationName,
      onPoolError: onError,
      deadlines,
    })
    releasers.add('database', () => db.destroy())
    await inTime(pingDatabase(db), ANSWER_MS, () => {
      throw new Error(`no answer within ${ANSWER_MS / 1000} s`)
    }).catch((error: unknown) => {
      throw new CommandFailure(`the database does not answer (${messageOf(error)})`, { cause: error })
    })
    return await work({ config, db, connectionString, log, onError, releasers })
  } finally {
    await releasers.releaseAll(log)
  }
}

async function embeddedDatabase(config: Config, name: string, log: Log, releasers: Releasers) {
  const opening = openCommandDatabase(config.DATA_DIR, log)
  // Interrupted during its start, the database is stopped after it: nothing else would.
  const ignoreSignals = stopOnSignals(async () => {
    await Promise.allSettled([opening])
    await releasers.releaseAll(log)
  })
  try {
    const database = await opening
    releasers.add('embedded database', () => database.stop())
    if (database.wasRunning) ignoreSignals()
    else releasers.add('signals', ignoreSignals)
    return database.connectionString
  } catch (error) {
    ignoreSignals()
    if (!(error instanceof NoEmbeddedDatabase)) throw error
    throw new ConfigError([
      `DATABASE_URL: "" is not accepted; ${name} takes the database of the server it works for, and ${error.message}`,
    ])
  }
}

/** Stops the database that an interrupted command has started, and exits. Returns the function that ends this. */
export function stopOnSignals(release: () => Promise<void>): () => void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  const stop = () => void release().finally(() => process.exit(130))
  for (const signal of signals) process.once(signal, stop)
  return () => {
    for (const signal of signals) process.off(signal, stop)
  }
}

async function checkSchema(db: Ledger): Promise<void> {
  const state = await schemaState(db)
  const problem = schemaProblem(state)
  if (problem === undefined) return
  throw new CommandFailure(
    state.isLedger
      ? `nothing was changed: ${problem}`
      : 'the database is not Landfall\'s: nothing was changed. Check DATABASE_URL; for an empty database, run "landfall migrate" first',
  )
}
