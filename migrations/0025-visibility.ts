import { type QueryExecutorProvider, sql } from 'kysely'

/** Whether everybody may see a media item. */
export async function up(db: QueryExecutorProvider): Promise<void> {
  await sql`
    alter table landfall.media
      add column if not exists visibility text not null default 'private' check (visibility in ('private', 'public'))`.execute(
    db,
  )
}
