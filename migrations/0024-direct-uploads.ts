import { type QueryExecutorProvider, sql } from 'kysely'

/** Uploads whose clients send their bytes to the bucket, and until when a link may still bring some. */
export async function up(db: QueryExecutorProvider): Promise<void> {
  const statements = [
    `create table if not exists landfall.direct_uploads (
       upload_id text primary key references landfall.uploads (id) on delete cascade,
       -- Where a form puts the whole file; null for one in parts.
       form_key text,
       -- When the bucket is asked next.
       look_at timestamptz not null,
       created_at timestamptz not null default now()
     )`,
    `create index if not exists direct_uploads_by_look on landfall.direct_uploads (look_at)`,
    `alter table landfall.upload_tails add column if not exists late_until timestamptz`,
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}
