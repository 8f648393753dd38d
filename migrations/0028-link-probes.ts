import { type QueryExecutorProvider, sql } from 'kysely'

/** Objects with which a server tries what links can do, noted before they are stored: who is killed leaves none behind. */
export async function up(db: QueryExecutorProvider): Promise<void> {
  await sql`create table if not exists landfall.link_probes (
    storage_key text primary key,
    began_at timestamptz not null default now()
  )`.execute(db)
}
