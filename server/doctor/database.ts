import type { Ledger } from '../../ledger/database.ts'
import { databaseFacts, receivesNotifications } from '../../ledger/examination.ts'
import { NEWER_SCHEMA, schemaProblem, schemaState } from '../../ledger/schema-state.ts'
import { clockFindings } from './clock.ts'
import { error, type Finding, ok, warning } from './finding.ts'

const OLDEST_MAJOR = 15
const NOTIFIED_MS = 3_000
/** Leases and uploads end by the database's clock, tokens and log lines use ours. */
const CLOCK_LIMIT_MS = 30_000

/** Whether Landfall can use this database. */
export async function checkDatabase(db: Ledger, connectionString: string): Promise<readonly Finding[]> {
  const facts = await databaseFacts(db)
  const major = Math.floor(facts.versionNumber / 10_000)
  if (major < OLDEST_MAJOR) {
    return [error(`database: PostgreSQL ${facts.version}; Landfall needs ${OLDEST_MAJOR} or newer`)]
  }
  return [
    ok(`database: answers (PostgreSQL ${facts.version})`),
    ...(await checkSchema(db, facts.mayCreate)),
    ...clockFindings(
      'the database',
      facts.clockAheadMs,
      CLOCK_LIMIT_MS,
      'tokens and uploads expire at the wrong time',
    ),
    await checkNotifications(connectionString),
  ]
}

async function checkSchema(db: Ledger, mayCreate: boolean): Promise<readonly Finding[]> {
  const state = await schemaState(db)
  if (state.unreadable.length > 0) return [error(`schema: ${schemaProblem(state)}`)]
  if (state.newer.length > 0) return [warning(`schema: ${NEWER_SCHEMA} (${state.newer.join(', ')})`)]
  if (state.pending.length === 0) return [ok('schema: up to date')]
  return [
    warning(`schema: pending migrations: ${state.pending.join(', ')}`),
    ...(mayCreate || state.isLedger
      ? []
      : [
          error(
            'schema: the user of DATABASE_URL is not allowed to create schemas: GRANT CREATE ON DATABASE … TO …',
          ),
        ]),
  ]
}

/** They do not arrive through a pooler that does not keep sessions. */
async function checkNotifications(connectionString: string): Promise<Finding> {
  return (await receivesNotifications(connectionString, NOTIFIED_MS))
    ? ok('database: LISTEN receives the notifications of other connections')
    : error(
        'database: LISTEN does not receive the notifications of other connections; a pooler in between must keep sessions (pool_mode = session)',
      )
}
