import { sql } from 'kysely'
import type { Ledger } from './database.ts'
import { hasRow, run } from './rows.ts'

/** Any number below 2^32. Running backups share this lock. */
const LOCK = 7_263_495
/** Keeps the network from dropping a connection that is idle for hours. */
const SIGN_OF_LIFE_MS = 20_000

const backups = sql`
  from pg_locks
 where locktype = 'advisory' and granted and classid = 0 and objid = ${sql.lit(LOCK)} and objsubid = 1
   and database = (select oid from pg_database where datname = current_database())`

/**
 * Whether a backup is running. A backup refers to files where they were when it began: once this is false, everything
 * committed before is seen by every later backup.
 */
export const isBackupRunning = sql<boolean>`exists (select 1 ${backups})`

/** The same as a query of its own. */
export async function isAnyBackupRunning(db: Ledger): Promise<boolean> {
  return await hasRow(db)`select 1 ${backups}`
}

/**
 * Runs a backup while former copies of moved files are kept on disk. `work` calls `checkKept` after copying all files,
 * which fails where they were not kept all the time. Takes a connection of its own.
 */
export async function withBackupLock<Result>(
  db: Ledger,
  work: (checkKept: () => Promise<void>) => Promise<Result>,
): Promise<Result> {
  return await db.connection().execute(async (session) => {
    await run(session)`select pg_advisory_lock_shared(${LOCK})`
    const checkKept = async () => {
      if (!(await hasRow(session)`select 1 ${backups} and pid = pg_backend_pid()`))
        throw new Error(
          'files may have been removed during the backup: the database has lost the lock on them',
        )
    }
    // If this fails, so does the last check.
    const timer = setInterval(() => void checkKept().catch(() => {}), SIGN_OF_LIFE_MS)
    try {
      return await work(checkKept)
    } finally {
      clearInterval(timer)
      // The lock is gone with a lost connection.
      await run(session)`select pg_advisory_unlock_shared(${LOCK})`.catch(() => {})
    }
  })
}
