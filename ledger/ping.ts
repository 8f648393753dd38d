import type { Ledger } from './database.ts'
import { onlyValue } from './rows.ts'

/** The database answers but takes no writes: a replica, or one during a failover. */
export class DatabaseReadOnly extends Error {
  constructor() {
    super('the database is read-only')
    this.name = 'DatabaseReadOnly'
  }
}

/** One round trip to the database. Throws when it does not answer, and `DatabaseReadOnly` when it takes no writes. */
export async function pingDatabase(db: Ledger): Promise<void> {
  const isReadOnly = await onlyValue<boolean>(db)`
    select pg_is_in_recovery() or current_setting('transaction_read_only')::boolean`
  if (isReadOnly) throw new DatabaseReadOnly()
}
