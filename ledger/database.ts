import { Kysely, PostgresDialect, sql, type Transaction } from 'kysely'
import pg from 'pg'
import { LedgerClient } from './connection.ts'
import { type Deadlines, ORDINARY_DEADLINES } from './deadlines.ts'
import type { LedgerSchema } from './schema.ts'

export type Ledger = Kysely<LedgerSchema>
export type LedgerTransaction = Transaction<LedgerSchema>

const INT8_OID = 20

/** int8 arrives as text; all of ours are byte counts or ids far below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser(oid, format) {
    return oid === INT8_OID ? Number : pg.types.getTypeParser(oid, format)
  },
}

/**
 * For work that may be lost in a crash, such as a notification, or is then repeated, such as recording a step. The
 * transaction is forced to the disk with the next one that is. Such transactions can only be lost in order, and other
 * requests do not wait for them.
 */
export const ASYNC_COMMIT = sql`set_config('synchronous_commit', 'off', true)`

export type DatabaseOptions = {
  connectionString: string
  /** Upper bound of pooled connections. */
  maxConnections: number
  /** Shown in `pg_stat_activity`. */
  applicationName: string
  onPoolError: (error: Error) => void
  /** `ORDINARY_DEADLINES` by default. */
  deadlines?: Deadlines
}

/** An idle connection is closed after this long: the network may drop it without notice. */
const IDLE_MS = 10_000
/** Every connection is replaced after this long, so that a changed address is followed. */
const MAX_LIFETIME_SECONDS = 30 * 60
/** How long running queries have when a pool is closed. */
const CLOSE_MS = 5_000
/** A pool counts as stuck when requests wait and no connection was returned for this long. */
const STANDSTILL_MS = 5_000

/**
 * Opens the connection pool of the ledger. Connections are made on first use, so this never fails. The caller closes it
 * with `db.destroy()`, which takes some seconds at most.
 */
export function openDatabase(options: DatabaseOptions): Ledger {
  const pool = new LedgerPool(options)
  const db = new Kysely<LedgerSchema>({ dialect: new PostgresDialect({ pool }) })
  pools.set(db, pool)
  return db
}

/** The pool of a ledger that `openDatabase` has opened; undefined for a transaction. */
export const poolOf = (db: Ledger): pg.Pool | undefined => pools.get(db)

/** Whether requests wait for a connection of this pool and none is returned. */
export function isPoolStuck(db: Ledger): boolean {
  return pools.get(db)?.isPoolStuck ?? false
}

const pools = new WeakMap<Ledger, LedgerPool>()

class LedgerPool extends pg.Pool {
  readonly #clients = new Set<LedgerClient>()
  /** When a connection was last lent or returned, or a request began to wait. */
  #movedAt = performance.now()

  constructor({ deadlines = ORDINARY_DEADLINES, ...options }: DatabaseOptions) {
    super({
      Client: class extends LedgerClient {
        constructor(config: pg.ClientConfig = {}) {
          super(config, deadlines)
        }
      },
      connectionString: options.connectionString,
      max: options.maxConnections,
      application_name: options.applicationName,
      connectionTimeoutMillis: deadlines.connectMs,
      idleTimeoutMillis: IDLE_MS,
      maxLifetimeSeconds: MAX_LIFETIME_SECONDS,
      types,
    })
    // An idle connection that the server drops would otherwise end the process.
    this.on('error', options.onPoolError)
    this.on('connect', (client) => {
      // The pool does not listen to a connection that is in use. A database that restarts between two statements of a
      // transaction would end the process.
      client.on('error', options.onPoolError)
      if (client instanceof LedgerClient) this.#clients.add(client)
    })
    this.on('remove', (client) => {
      if (client instanceof LedgerClient) this.#clients.delete(client)
    })
    this.on('acquire', () => this.#move()).on('release', () => this.#move())
  }

  override connect = ((...args: []) => {
    if (this.waitingCount === 0) this.#move()
    const connect: (...args: []) => Promise<pg.PoolClient> = super.connect.bind(this)
    return connect(...args)
  }) as pg.Pool['connect']

  get isPoolStuck(): boolean {
    return this.waitingCount > 0 && performance.now() - this.#movedAt > STANDSTILL_MS
  }

  override end = (async () => {
    const end: () => Promise<void> = super.end.bind(this)
    const timer = setTimeout(() => {
      for (const client of this.#clients) client.abandon(new Error('Connection terminated: the pool closes'))
    }, CLOSE_MS)
    await end().finally(() => clearTimeout(timer))
  }) as pg.Pool['end']

  #move(): void {
    this.#movedAt = performance.now()
  }
}
