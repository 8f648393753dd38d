import { type Kysely, sql } from 'kysely'

/** What an upload has in S3 before it is one object: the parts of its grid, and tails that fill none yet. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    // Fixed when the first bytes arrive. `multipart_unsure`: an upload was opened in S3 whose id may not have
    // reached us, so that it has to be looked for when this one ends.
    `alter table landfall.uploads
      add column part_size bigint check (part_size > 0),
      add column multipart_id text,
      add column multipart_unsure boolean not null default false`,
    `create table landfall.upload_parts (
      upload_id text not null references landfall.uploads (id),
      part_number integer not null check (part_number between 1 and 10000),
      "offset" bigint not null check ("offset" >= 0),
      size bigint not null check (size >= 0),
      etag text not null,
      primary key (upload_id, part_number)
    )`,
    // A row is written before its object, so that none is ever forgotten; it counts once it has an etag.
    `create table landfall.upload_tails (
      upload_id text not null references landfall.uploads (id),
      storage_key text not null,
      "offset" bigint not null check ("offset" >= 0),
      size bigint not null check (size > 0),
      etag text,
      -- One call stored it, so none of an earlier attempt can still arrive.
      is_sure boolean not null default false,
      -- Removed once; a late call may have made it again, so that it is removed a second time after a while.
      dropped_at timestamptz,
      primary key (upload_id, storage_key)
    )`,
    'create index upload_tails_dropped on landfall.upload_tails (dropped_at) where dropped_at is not null',
    `create index uploads_unsure on landfall.uploads (updated_at) where multipart_unsure and state <> 'open'`,
    // The object as it was when all of its bytes were checked to be there: it is read as this one or not at all.
    'alter table landfall.media add column etag text',
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}
