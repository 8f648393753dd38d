import type { QueryExecutorProvider } from 'kysely'

/** An index that is built, or dropped, while the table is in use. */
export type IndexChange =
  /** `on`: what follows `on` in `create index`, such as `landfall.media (created_at) where purged_at is null`. */
  { create: string; on: string; isUnique?: boolean } | { drop: string }

/** One change of the schema. A released one is never edited. See docs/upgrading.md. */
export type Migration = {
  /** Runs in a transaction with a short `lock_timeout`: it is rolled back and tried again when a lock is not free. */
  up(db: QueryExecutorProvider): Promise<void>
  /**
   * After `up`, outside a transaction, repeatedly: updates some rows after the key `after` and returns the last key;
   * undefined when none is left. After a crash it begins again with `''`. For large tables: one statement over all rows
   * would hold its locks, and those of `up`, for too long.
   */
  backfill?(db: QueryExecutorProvider, after: string): Promise<string | undefined>
  /** After that, outside a transaction, in this order. For indexes of tables that may be large. */
  indexes?: readonly IndexChange[]
  /**
   * The oldest release that can run with this schema, by the number of its newest migration. Without it, every release
   * can: the migration only adds what older statements do not see.
   */
  minimumReader?: number
}
