import { type Kysely, sql } from 'kysely'
import type { IndexChange } from './migration.ts'

/**
 * Every media item says by which backend it is stored, as its upload does; and of each backend it is known by which
 * object it is recognised, so that another bucket or directory is not taken for it.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  // Nearly every ledger has one backend: its rows get it without being rewritten.
  const { rows: one } = await sql<{ backend: string }>`
    select storage_backend as backend from landfall.uploads limit 1`.execute(db)
  const backend = one[0]?.backend ?? 'disk'
  const { rows: others } = await sql`
    select 1 from landfall.uploads where storage_backend <> ${backend} limit 1`.execute(db)
  const statements = [
    `alter table landfall.media add column storage_backend text not null default '${backend.replaceAll("'", "''")}'`,
    // From now on it is what the upload says, also where the previous release inserts the row.
    'alter table landfall.media alter column storage_backend drop default',
    `create function landfall.store_as_uploaded() returns trigger language plpgsql as $$
      begin
        new.storage_backend := (select u.storage_backend from landfall.uploads u where u.id = new.upload_id);
        return new;
      end $$`,
    `create trigger store_as_uploaded before insert on landfall.media for each row
      when (new.storage_backend is null) execute function landfall.store_as_uploaded()`,
    ...(others.length > 0
      ? [
          `update landfall.media m set storage_backend = u.storage_backend from landfall.uploads u
            where u.id = m.upload_id and u.storage_backend <> m.storage_backend`,
        ]
      : []),

    `create table landfall.storage_places (
      backend text primary key,
      -- Of an object that nobody but this installation has put there.
      marker_key text not null,
      recorded_at timestamptz not null default now()
    )`,
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}

/** What every start asks: whether a backend still holds something. And what is moved from one to another. */
export const indexes: readonly IndexChange[] = [
  { create: 'media_by_backend', on: `landfall.media (storage_backend, id) where purged_at is null` },
  {
    create: 'uploads_open_by_backend',
    on: `landfall.uploads (storage_backend) where state = 'open' or (is_partial and state = 'received')`,
  },
]
