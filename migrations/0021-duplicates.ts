import { type QueryExecutorProvider, sql } from 'kysely'

/** Which media item of the same owner has the same bytes, and which one others are compared with. */
export async function up(db: QueryExecutorProvider): Promise<void> {
  await sql`
    alter table landfall.media
      add column duplicate_of text,
      add column is_original boolean not null default false`.execute(db)
}
