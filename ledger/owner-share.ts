import { setTimeout as sleep } from 'node:timers/promises'
import {
  CompiledQuery,
  type DatabaseConnection,
  Kysely,
  PostgresDialect,
  PostgresDriver,
  type PostgresPool,
} from 'kysely'
import pg from 'pg'
import { perLedger } from './batches.ts'
import { type Ledger, type LedgerTransaction, poolOf } from './database.ts'
import type { LedgerSchema } from './schema.ts'
import { Turns } from './turns.ts'

// All ledger work for an owner goes through here, so that no owner gets more than a share of the connections.

/** As long as the pool lets requests wait for a connection. */
const MAX_WAIT_MS = 10_000
/** How long a statement waits for a lock of another node before its connection is returned. */
const LOCK_WAIT_MS = 100
const MAX_HANDLES = 1000
/** Postgres: lock_not_available. */
const LOCK_NOT_AVAILABLE = '55P03'

type Share = { pool: PostgresPool; turns: Turns; handles: Map<string, Ledger> }

/** Connections that one owner can use at a time, of a pool of this size: a third, and two of a small one. */
export const shareOf = (maxConnections: number): number =>
  Math.max(1, Math.min(maxConnections - 1, Math.max(2, Math.floor(maxConnections / 3))))

const shares = perLedger((db): Share | undefined => {
  const pool = poolOf(db)
  if (!pool) return undefined
  const turns = new Turns({
    atOnce: () => shareOf(pool.options.max),
    // Bounded by admission: requests by owner turns, appends by their number.
    maxWaiting: Number.POSITIVE_INFINITY,
    maxWaitMs: MAX_WAIT_MS,
  })
  return { pool, turns, handles: new Map() }
})

/**
 * The same ledger for work of one owner, with a share of its connections. Work beyond the share waits, without delaying
 * other owners. Fails with `TurnRefused` after ten seconds. A caller must not ask for a second connection while it
 * holds one. A transaction is returned as it is.
 */
export function withOwnerShare(db: Ledger, ownerId: string): Ledger {
  const share = shares(db)
  if (!share) return db
  const { handles } = share
  const handle = handles.get(ownerId) ?? openHandle(share, ownerId)
  handles.delete(ownerId)
  handles.set(ownerId, handle)
  if (handles.size > MAX_HANDLES) {
    const [oldest] = handles.keys()
    if (oldest !== undefined) handles.delete(oldest)
  }
  return handle
}

function openHandle({ pool, turns }: Share, ownerId: string): Ledger {
  const shared: PostgresPool = {
    ...(pool.Client && { Client: pool.Client }),
    options: pool.options,
    async connect() {
      const leave = await turns.enter(ownerId)
      try {
        const client = await pool.connect()
        // The pool replaces this function whenever it lends a connection.
        const release = client.release.bind(client)
        client.release = (...args: Parameters<typeof release>) => {
          leave()
          release(...args)
        }
        return client
      } catch (error) {
        leave()
        throw error
      }
    },
    // The pool is closed by its opener.
    async end() {},
  }
  return new Kysely<LedgerSchema>({ dialect: new OwnerDialect(shared) })
}

class OwnerDialect extends PostgresDialect {
  readonly #pool: PostgresPool

  constructor(pool: PostgresPool) {
    super({ pool })
    this.#pool = pool
  }

  override createDriver(): PostgresDriver {
    return new OwnerDriver({ pool: this.#pool })
  }
}

/** Begins transactions that wait for no lock longer than `LOCK_WAIT_MS`, in one round trip instead of two. */
class OwnerDriver extends PostgresDriver {
  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw(`begin; set local lock_timeout = ${LOCK_WAIT_MS}`))
  }
}

/** One at a time for each owner. */
const usageTurns = perLedger(
  () => new Turns({ atOnce: () => 1, maxWaiting: Number.POSITIVE_INFINITY, maxWaitMs: MAX_WAIT_MS }),
)

/**
 * A transaction that locks rows of an owner as a whole, such as their usage. Transactions of one owner queue up before
 * they take a connection, so none waits for such a lock while it holds one. Only another node can hold it: then the
 * connection is returned after a tenth of a second, and `work` is run again from its beginning. Fails with
 * `TurnRefused` or Postgres' `lock_not_available` after ten seconds; nothing is changed then.
 */
export async function withOwnerLock<Result>(
  db: Ledger,
  ownerId: string,
  work: (trx: LedgerTransaction) => Promise<Result>,
): Promise<Result> {
  const leave = await usageTurns(db).enter(ownerId)
  const deadline = performance.now() + MAX_WAIT_MS
  try {
    for (;;) {
      try {
        return await withOwnerShare(db, ownerId).transaction().execute(work)
      } catch (error) {
        if (!isLocked(error) || performance.now() >= deadline) throw error
      }
      await sleep(LOCK_WAIT_MS * (0.5 + Math.random()))
    }
  } finally {
    leave()
  }
}

const isLocked = (error: unknown): boolean =>
  error instanceof pg.DatabaseError && error.code === LOCK_NOT_AVAILABLE
