import { createHash } from 'node:crypto'
import { Kysely, PostgresDialect, sql, type Transaction } from 'kysely'
import pg from 'pg'
import type { LedgerSchema } from './schema.ts'

export type Ledger = Kysely<LedgerSchema>
export type LedgerTransaction = Transaction<LedgerSchema>

const INT8_OID = 20

/** int8 arrives as text; every int8 of ours is a byte count or an id far below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser(oid, format) {
    return oid === INT8_OID ? Number : pg.types.getTypeParser(oid, format)
  },
}

const MARK = '/* prepared */'

/**
 * At the start of a statement of every small request: each connection prepares it once, as planning it costs more
 * than running it. Its text must be one of few, and its columns be listed by name: a migration that runs
 * meanwhile may add some.
 */
export const PREPARED = sql.raw(MARK)

/**
 * For what nobody misses, such as a notification, and what is done again when it is lost, such as that a step was done:
 * the transaction that runs it is not forced to the disk by itself, but with the next one that is, such as the one that
 * makes a file ready. Only together, and in order, can they be lost; requests that are forced to the disk meanwhile do
 * not wait for them.
 */
export const LAZILY = sql`set_config('synchronous_commit', 'off', true)`

const names = new Map<string, string>()

/** A connection that prepares the statements that ask for it. */
class PreparingClient extends pg.Client {
  override query = ((...args: unknown[]) => {
    const [text, values] = args
    const isPrepared = typeof text === 'string' && text.trimStart().startsWith(MARK)
    const query: (...args: unknown[]) => unknown = super.query.bind(this)
    return isPrepared ? query({ name: nameOf(text), text, values }) : query(...args)
  }) as pg.Client['query']
}

function nameOf(text: string): string {
  const name = names.get(text) ?? createHash('sha256').update(text).digest('base64url')
  names.set(text, name)
  return name
}

export type DatabaseOptions = {
  connectionString: string
  /** Upper bound of pooled connections. */
  maxConnections: number
  /** Shown in `pg_stat_activity`. */
  applicationName: string
  onPoolError: (error: Error) => void
}

const pools = new WeakMap<Ledger, pg.Pool>()

/** The connections behind a ledger that `openDatabase` has opened; undefined for a transaction. */
export const poolOf = (db: Ledger): pg.Pool | undefined => pools.get(db)

/**
 * Opens the pool behind the ledger. Connections are made on first use, so this never fails;
 * the caller closes it with `db.destroy()`.
 */
export function openDatabase(options: DatabaseOptions): Ledger {
  const pool = new pg.Pool({
    Client: PreparingClient,
    connectionString: options.connectionString,
    max: options.maxConnections,
    application_name: options.applicationName,
    connectionTimeoutMillis: 10_000,
    types,
  })
  // An idle connection that the server drops would otherwise end the process.
  pool.on('error', options.onPoolError)
  // While a connection is lent out the pool does not listen to it, and its query may be over: a
  // database that restarts between two statements of a transaction would end the process.
  pool.on('connect', (client) => client.on('error', options.onPoolError))
  const db = new Kysely<LedgerSchema>({ dialect: new PostgresDialect({ pool }) }).withSchema('landfall')
  pools.set(db, pool)
  return db
}
