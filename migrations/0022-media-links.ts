import { type QueryExecutorProvider, sql } from 'kysely'

/** Links to media items that were asked for, and can be revoked. */
export async function up(db: QueryExecutorProvider): Promise<void> {
  const statements = [
    `create table if not exists landfall.media_links (
       id text primary key,
       media_id text not null references landfall.media (id) on delete cascade,
       owner_id text not null,
       kinds text[] not null,
       disposition text check (disposition in ('inline', 'attachment')),
       filename text,
       created_at timestamptz not null default now(),
       expires_at timestamptz not null,
       revoked_at timestamptz
     )`,
    `create index if not exists media_links_by_media on landfall.media_links (media_id, created_at desc, id)`,
    `create index if not exists media_links_by_end on landfall.media_links (least(expires_at, revoked_at))`,
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}
