import type { QueryExecutorProvider } from 'kysely'

/** An index that is built, or dropped, while the table is read and written. */
export type IndexChange =
  /** `on`: what follows `on` in `create index`, such as `landfall.media (created_at) where purged_at is null`. */
  { create: string; on: string; isUnique?: boolean } | { drop: string }

/** One step of the schema. A released one is never edited. See docs/upgrading.md. */
export type Migration = {
  /** Runs in a transaction, with a short `lock_timeout`: it is rolled back and tried again when a lock is not free. */
  up(db: QueryExecutorProvider): Promise<void>
  /**
   * After `up`, outside a transaction, again and again: fills some rows of those behind `after`, by their key, and
   * returns the last; undefined when none is left. A killed one begins again with `''`. For tables that may be large: a
   * statement over all of one would keep its locks, and those of `up`, for as long.
   */
  backfill?(db: QueryExecutorProvider, after: string): Promise<string | undefined>
  /** After that, outside a transaction, in this order. For indexes of tables that may be large. */
  indexes?: readonly IndexChange[]
  /**
   * The oldest release that can run with this schema, by the number of its newest migration. Left out, every release
   * can: the migration only adds what older statements do not see.
   */
  minimumReader?: number
}
