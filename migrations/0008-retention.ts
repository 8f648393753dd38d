import { type Kysely, sql } from 'kysely'
import type { IndexChange } from './migration.ts'

/** Retention: when an upload ended, the indexes for pruning, and lists by every filter. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    `alter table landfall.uploads
      add column ended_at timestamptz,
      -- Nothing of what its client said of it is left.
      add column is_bare boolean not null default false`,
    // Whichever statement ends it. Ended uploads count for no quota.
    `create function landfall.note_end() returns trigger language plpgsql as $$
      begin
        new.ended_at := now();
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
    `create trigger note_end before update of state on landfall.uploads for each row
      when (old.ended_at is null and new.state in ('terminated', 'expired', 'rejected'))
      execute function landfall.note_end()`,

    // Steps that are not repeated, of a media item whose step records were pruned: name to detail.
    'alter table landfall.media add column steps_behind jsonb',
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}

export const indexes: readonly IndexChange[] = [
  { create: 'uploads_ended', on: `landfall.uploads (is_bare, ended_at) where ended_at is not null` },
  // Uploads that ended before this migration get it later, in batches.
  {
    create: 'uploads_end_unknown',
    on: `landfall.uploads (id) where ended_at is null and state in ('terminated', 'expired', 'rejected')`,
  },
  { create: 'media_purged', on: `landfall.media (purged_at) where purged_at is not null` },
  {
    create: 'media_by_status',
    on: `landfall.media (owner_id, status, created_at desc, id desc) where status <> 'deleted'`,
  },
  // A file has no kind before it is processed: completing an upload updates none of these.
  {
    create: 'media_by_kind',
    on: `landfall.media (owner_id, kind, created_at desc, id desc) where status <> 'deleted' and kind is not null`,
  },
  {
    create: 'media_by_kind_and_status',
    on: `landfall.media (owner_id, kind, status, created_at desc, id desc) where status <> 'deleted' and kind is not null`,
  },
  { create: 'webhook_deliveries_by_event', on: `landfall.webhook_deliveries (event_id)` },
  {
    create: 'webhook_deliveries_over',
    on: `landfall.webhook_deliveries (created_at) where status <> 'pending'`,
  },
  { create: 'webhook_deliveries_by_status', on: `landfall.webhook_deliveries (status, position desc)` },
  {
    create: 'webhook_deliveries_by_owner_status',
    on: `landfall.webhook_deliveries (owner_id, status, position desc)`,
  },
]
