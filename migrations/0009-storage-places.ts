import { type Kysely, type QueryExecutorProvider, sql } from 'kysely'
import type { IndexChange } from './migration.ts'

/**
 * Every media item has the backend that stores it, as its upload has; and each backend its marker, so that another
 * bucket or directory is not mistaken for it.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  // Nearly every ledger has one backend: its rows get it as a default, without being rewritten.
  const { rows: one } = await sql<{ backend: string }>`
    select storage_backend as backend from landfall.uploads limit 1`.execute(db)
  const backend = one[0]?.backend ?? 'disk'
  const statements = [
    `alter table landfall.media add column storage_backend text not null default '${backend.replaceAll("'", "''")}'`,
    // From now on it is that of the upload, also where the previous release inserts the row.
    'alter table landfall.media alter column storage_backend drop default',
    `create function landfall.store_as_uploaded() returns trigger language plpgsql as $$
      begin
        new.storage_backend := (select u.storage_backend from landfall.uploads u where u.id = new.upload_id);
        return new;
      end $$`,
    `create trigger store_as_uploaded before insert on landfall.media for each row
      when (new.storage_backend is null) execute function landfall.store_as_uploaded()`,

    `create table landfall.storage_places (
      backend text primary key,
      -- Of an object that nobody but this installation has put there.
      marker_key text not null,
      recorded_at timestamptz not null default now()
    )`,
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}

const BATCH = 1000

/** Where there are several backends, sets that of the other media items. */
export async function backfill(db: QueryExecutorProvider, after: string): Promise<string | undefined> {
  if (after === '') {
    const { rows } = await sql<{ areSeveral: boolean }>`
      select coalesce(min(storage_backend) <> max(storage_backend), false) as "areSeveral"
        from landfall.uploads`.execute(db)
    if (rows[0]?.areSeveral !== true) return undefined
  }
  const { rows: page } = await sql<{ last: string | null }>`
    with page as (
      select id, upload_id from landfall.media where id > ${after} order by id limit ${BATCH}
    ), told as (
      update landfall.media m set storage_backend = u.storage_backend
        from page join landfall.uploads u on u.id = page.upload_id
       where m.id = page.id and m.storage_backend <> u.storage_backend
    )
    select max(id) as last from page`.execute(db)
  return page[0]?.last ?? undefined
}

/** For the check at every start whether a backend is in use, and for moves. */
export const indexes: readonly IndexChange[] = [
  { create: 'media_by_backend', on: `landfall.media (storage_backend, id) where purged_at is null` },
  {
    create: 'uploads_open_by_backend',
    on: `landfall.uploads (storage_backend) where state = 'open' or (is_partial and state = 'received')`,
  },
]
