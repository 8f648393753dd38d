import { type Kysely, sql } from 'kysely'
import type { IndexChange } from './migration.ts'

/**
 * Expiry slides with every append, so the reaper finds what may have expired by a column that appends leave alone:
 * an update that changes no indexed column is a "heap-only" one, which costs no index entries. The counters of one
 * owner that do not match his uploads keep nobody else's from ending.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    // Never later than `expires_at`; the reaper moves it on. Of rows that the previous release writes it is the time
    // of their creation, which makes the reaper look at them.
    'alter table landfall.uploads add column reap_after timestamptz not null default now()',
    // Room for the new versions of a row beside the old ones.
    'alter table landfall.uploads set (fillfactor = 80)',
    'alter table landfall.quota_usage set (fillfactor = 50)',

    `create function landfall.look_no_later() returns trigger language plpgsql as $$
      begin
        new.reap_after := new.expires_at;
        return new;
      end $$`,
    `create trigger look_no_later before update of expires_at on landfall.uploads for each row
      when (new.expires_at < new.reap_after) execute function landfall.look_no_later()`,

    // A counter that would go below zero was wrong before: it stays at zero and its owner is noted, to be counted anew.
    'alter table landfall.quota_usage add column inconsistent_since timestamptz',
    `create index quota_usage_inconsistent on landfall.quota_usage (inconsistent_since)
      where inconsistent_since is not null`,
    `create function landfall.note_inconsistent_usage() returns trigger language plpgsql as $$
      begin
        new.reserved_bytes := greatest(new.reserved_bytes, 0);
        new.used_bytes := greatest(new.used_bytes, 0);
        new.open_uploads := greatest(new.open_uploads, 0);
        new.finished_uploads := greatest(new.finished_uploads, 0);
        new.open_partials := greatest(new.open_partials, 0);
        new.inconsistent_since := coalesce(new.inconsistent_since, now());
        return new;
      end $$`,
    `create trigger note_inconsistent_usage before update on landfall.quota_usage for each row
      when (new.reserved_bytes < 0 or new.used_bytes < 0 or new.open_uploads < 0 or new.finished_uploads < 0
            or new.open_partials < 0)
      execute function landfall.note_inconsistent_usage()`,
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}

export const indexes: readonly IndexChange[] = [
  {
    create: 'uploads_to_reap',
    on: `landfall.uploads (reap_after) where state = 'open' or (is_partial and state = 'received')`,
  },
  { drop: 'uploads_open_by_expiry' },
  { drop: 'uploads_used_partials' },
  // These are few: the time of their end needs no index.
  { create: 'uploads_ended_unsure', on: `landfall.uploads (id) where multipart_unsure and state <> 'open'` },
  { drop: 'uploads_unsure' },
]
