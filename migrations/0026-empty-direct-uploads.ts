import { type QueryExecutorProvider, sql } from 'kysely'

/** When the bucket last had nothing of a direct upload. */
export async function up(db: QueryExecutorProvider): Promise<void> {
  await sql`alter table landfall.direct_uploads add column if not exists empty_at timestamptz`.execute(db)
}
