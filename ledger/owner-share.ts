import { setTimeout as sleep } from 'node:timers/promises'
import { Kysely, PostgresDialect, type PostgresPool, sql } from 'kysely'
import pg from 'pg'
import { perLedger } from './batches.ts'
import { type Ledger, type LedgerTransaction, poolOf } from './database.ts'
import type { LedgerSchema } from './schema.ts'
import { Turns } from './turns.ts'

// Everything that a request does in the ledger in the name of an owner goes through here, so that one owner, whatever
// they send, takes a share of the connections and no more.

/** As long as the pool lets others wait for a connection. */
const MAX_WAIT_MS = 10_000
/** How long a statement waits for a lock that another node holds before it gives its connection back. */
const LOCK_WAIT_MS = 100
const MAX_HANDLES = 1000
/** Postgres: lock_not_available. */
const LOCK_NOT_AVAILABLE = '55P03'

type Share = { pool: PostgresPool; turns: Turns; handles: Map<string, Ledger> }

/** Connections of a pool of this many that one owner can have at a time: a third, two where there are few. */
export const shareOf = (maxConnections: number): number =>
  Math.max(1, Math.min(maxConnections - 1, Math.max(2, Math.floor(maxConnections / 3))))

const shares = perLedger((db): Share | undefined => {
  const pool = poolOf(db)
  if (!pool) return undefined
  const turns = new Turns({
    atOnce: () => shareOf(pool.options.max),
    // Bounded by what is admitted: requests by the server's own turns, appends by their number.
    maxWaiting: Number.POSITIVE_INFINITY,
    maxWaitMs: MAX_WAIT_MS,
  })
  return { pool, turns, handles: new Map() }
})

/**
 * The same ledger for work in the name of one owner, who has a share of its connections at a time: what is more waits
 * behind the owner's own, and before nobody else's. Fails with `TurnRefused` when that takes longer than ten seconds. Nobody
 * may ask for a second connection while they hold one. A transaction is returned as it is.
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
        // The pool makes this function anew whenever it lends a connection.
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
    // The pool is closed by who opened it.
    async end() {},
  }
  return new Kysely<LedgerSchema>({ dialect: new PostgresDialect({ pool: shared }) }).withSchema('landfall')
}

/** One at a time for each owner. */
const usageTurns = perLedger(
  () => new Turns({ atOnce: () => 1, maxWaiting: Number.POSITIVE_INFINITY, maxWaitMs: MAX_WAIT_MS }),
)

/**
 * A transaction that locks rows which belong to an owner as a whole, such as that of their usage. Those of one owner
 * follow each other before they take a connection, so nothing waits for such a lock while it holds one: only another
 * node can hold it, and then the connection is given back after a tenth of a second, and `work` done again from its
 * beginning. Fails with `TurnRefused` or with Postgres' `lock_not_available` when ten seconds were not enough; nothing was
 * changed then.
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
        return await withOwnerShare(db, ownerId)
          .transaction()
          .execute(async (trx) => {
            await sql`select set_config('lock_timeout', ${`${LOCK_WAIT_MS}ms`}, true)`.execute(trx)
            return await work(trx)
          })
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
