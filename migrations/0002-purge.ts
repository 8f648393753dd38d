import { type Kysely, sql } from 'kysely'

/** Deleted media are purged after a while: when, and what the reaper looks for. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    'alter table landfall.media add column purged_at timestamptz',
    `create index media_to_purge on landfall.media (deleted_at) where status = 'deleted' and purged_at is null`,
    `create index media_in_processing on landfall.media (created_at) where status = 'processing'`,
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}
