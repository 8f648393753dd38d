import { sql } from 'kysely'
import type { Ledger } from '../../ledger/database.ts'

/** How many statements in the database of `db` wait for a lock: of the server, unless another application is named. */
export async function lockWaits(db: Ledger, applicationName = 'landfall-server'): Promise<number> {
  const { rows } = await sql<{ n: number }>`
    select count(*) as n from pg_stat_activity
     where datname = current_database() and application_name = ${applicationName}
       and wait_event_type = 'Lock'`.execute(db)
  return rows[0]?.n ?? 0
}
