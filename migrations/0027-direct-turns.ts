import { type QueryExecutorProvider, sql } from 'kysely'

/** Whose direct uploads are, until when their links bring bytes, and indexes for turns of owners and for forms that ended. */
export async function up(db: QueryExecutorProvider): Promise<void> {
  const statements = [
    'alter table landfall.direct_uploads add column if not exists owner_id text',
    'alter table landfall.direct_uploads add column if not exists links_until timestamptz',
    `update landfall.direct_uploads d
        set owner_id = u.owner_id, links_until = u.updated_at + interval '1 hour'
       from landfall.uploads u where u.id = d.upload_id and d.owner_id is null`,
    'drop index if exists landfall.direct_uploads_by_look',
    'create index if not exists direct_uploads_due on landfall.direct_uploads (look_at, owner_id)',
    'create index if not exists direct_uploads_of_owner on landfall.direct_uploads (owner_id, look_at)',
    `create index if not exists upload_tails_late on landfall.upload_tails (late_until)
       where late_until is not null`,
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}
