import { type Kysely, sql } from 'kysely'
import type { IndexChange } from './migration.ts'

/** Finds rejected media items, and uploads that ended empty, when their retention is over. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    // Not `"offset" = 0` in the index: then every append would change all indexes.
    'alter table landfall.uploads add column ended_empty boolean not null default false',
    `create or replace function landfall.note_end() returns trigger language plpgsql as $$
      begin
        new.ended_at := now();
        new.ended_empty := new."offset" = 0 and new.state in ('terminated', 'expired') and new.media_id is null;
        if (new.state <> 'terminated' or new.media_id is null)
           and (new."offset" = 0
                or octet_length(new.metadata::text) + coalesce(octet_length(new.metadata_header), 0)
                   + coalesce(octet_length(new.digests::text), 0) + coalesce(octet_length(new.concat), 0) > 1024) then
          new.metadata := '{}';
          new.metadata_header := null;
          new.digests := null;
          new.concat := null;
        end if;
        return new;
      end $$`,
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}

export const indexes: readonly IndexChange[] = [
  { create: 'uploads_ended_empty', on: 'landfall.uploads (ended_at) where ended_empty' },
  { create: 'media_rejected', on: `landfall.media (created_at) where status = 'rejected'` },
]
