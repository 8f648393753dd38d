import { type Kysely, sql } from 'kysely'

/**
 * Copies of files in a backend while the ledger serves them from another: being made, unfinished, or served before.
 * They are recorded before they are made, so that none is forgotten.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    // No foreign key: copies may outlive the row of their upload.
    `create table landfall.stray_copies (
      upload_id text not null,
      backend text not null,
      storage_keys text[] not null,
      -- Somebody makes them, or has begun to: multipart uploads may be open for these keys.
      is_begun boolean not null,
      -- When they may be removed.
      due_at timestamptz not null,
      -- Who makes or removes them, until when.
      fence uuid,
      fenced_until timestamptz,
      is_removing boolean not null default false,
      -- What their mover has still to write.
      bytes_to_come bigint not null default 0,
      primary key (upload_id, backend)
    )`,
    'create index stray_copies_due on landfall.stray_copies (backend, due_at)',
    'create index stray_copies_to_come on landfall.stray_copies (backend) where bytes_to_come > 0',
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}
