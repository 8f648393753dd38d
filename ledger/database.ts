import { Kysely, PostgresDialect, sql, type Transaction } from 'kysely'
import pg from 'pg'
import { LedgerClient, MARK } from './connection.ts'
import { type Deadlines, ORDINARY_DEADLINES } from './deadlines.ts'
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
export const ASYNC_COMMIT = sql`set_config('synchronous_commit', 'off', true)`

export type DatabaseOptions = {
  connectionString: string
  /** Upper bound of pooled connections. */
  maxConnections: number
  /** Shown in `pg_stat_activity`. */
  applicationName: string
  onPoolError: (error: Error) => void
  /** `ORDINARY_DEADLINES` where nothing else is said. */
  deadlines?: Deadlines
}

/** A connection that nobody uses is closed after this long: the network may have forgotten it by then. */
const IDLE_MS = 10_000
/** And every one after this long, in use or not, so that an address that has changed is followed. */
const MAX_LIFETIME_SECONDS = 30 * 60
/** What is still asked when a pool is closed has so long to be answered. */
const CLOSE_MS = 5_000
/** A pool in which no connection changes hands for this long while somebody waits for one stands still. */
const STANDSTILL_MS = 5_000

/**
 * Opens the pool behind the ledger. Connections are made on first use, so this never fails;
 * the caller closes it with `db.destroy()`, which takes some seconds at most.
 */
export function openDatabase(options: DatabaseOptions): Ledger {
  const pool = new LedgerPool(options)
  const db = new Kysely<LedgerSchema>({ dialect: new PostgresDialect({ pool }) }).withSchema('landfall')
  pools.set(db, pool)
  return db
}

/** The connections behind a ledger that `openDatabase` has opened; undefined for a transaction. */
export const poolOf = (db: Ledger): pg.Pool | undefined => pools.get(db)

/** Whether requests wait for a connection of this pool and none comes free: all of them hang. */
export function isPoolStuck(db: Ledger): boolean {
  return pools.get(db)?.isPoolStuck ?? false
}

const pools = new WeakMap<Ledger, LedgerPool>()

class LedgerPool extends pg.Pool {
  readonly #clients = new Set<LedgerClient>()
  /** When a connection last changed hands, or, after that, somebody began to wait for one. */
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
      // While a connection is lent out the pool does not listen to it, and its query may be over: a
      // database that restarts between two statements of a transaction would end the process.
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
