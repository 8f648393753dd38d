import { sql } from 'kysely'
import type { Ledger } from './database.ts'

/** Any number below 2^32: sessions share this lock that make a backup. */
const LOCK = 7_263_495
/** So that no network forgets a connection on which nothing is asked for hours. */
const SIGN_OF_LIFE_MS = 20_000

const backups = sql`
  from pg_locks
 where locktype = 'advisory' and granted and classid = 0 and objid = ${sql.lit(LOCK)} and objsubid = 1
   and database = (select oid from pg_database where datname = current_database())`

/**
 * Whether a backup is being made. It names files where they were when it began. So who sees this false has what was
 * committed by then in every backup that begins later.
 */
export const isBackupRunning = sql<boolean>`exists (select 1 ${backups})`

/** The same, asked by itself. */
export async function isAnyBackupRunning(db: Ledger): Promise<boolean> {
  const { rows } = await sql<{ isRunning: boolean }>`select ${isBackupRunning} as "isRunning"`.execute(db)
  return rows[0]?.isRunning === true
}

/**
 * Makes a backup while former copies of moved files are kept on disk. `work` calls `checkKept` when all files are
 * copied: it fails where they were not kept all the time. Takes a connection of its own.
 */
export async function withBackupLock<Result>(
  db: Ledger,
  work: (checkKept: () => Promise<void>) => Promise<Result>,
): Promise<Result> {
  return await db.connection().execute(async (session) => {
    await sql`select pg_advisory_lock_shared(${LOCK})`.execute(session)
    const checkKept = async () => {
      const { rows } = await sql`select 1 ${backups} and pid = pg_backend_pid()`.execute(session)
      if (rows.length === 0)
        throw new Error(
          'files may have been removed during the backup: the database has lost the lock on them',
        )
    }
    // Where it fails, the last check does as well.
    const timer = setInterval(() => void checkKept().catch(() => {}), SIGN_OF_LIFE_MS)
    try {
      return await work(checkKept)
    } finally {
      clearInterval(timer)
      // Where the connection is gone, so is its lock.
      await sql`select pg_advisory_unlock_shared(${LOCK})`.execute(session).catch(() => {})
    }
  })
}
