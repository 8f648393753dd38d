import { type QueryExecutorProvider, sql } from 'kysely'
import type { IndexChange } from './migration.ts'

/** Erasures of owners: what is removed of them, and the report that stays. */
export async function up(db: QueryExecutorProvider): Promise<void> {
  const statements = [
    `create table if not exists landfall.owner_erasures (
       id text primary key,
       -- Keyed: whoever has only this table cannot tell of whom a report is.
       owner_hash bytea not null,
       -- Until it is done: from then on no row has it.
       owner_id text,
       started_at timestamptz not null,
       finished_at timestamptz,
       counts jsonb not null default '{}',
       -- What it waited for when it last looked.
       waits jsonb,
       -- The owner has begun new uploads meanwhile.
       is_owner_left boolean,
       check ((owner_id is null) = (finished_at is not null))
     )`,
    `create unique index if not exists owner_erasures_running on landfall.owner_erasures (owner_hash)
       where finished_at is null`,
    `create index if not exists owner_erasures_by_owner on landfall.owner_erasures (owner_hash, started_at desc)`,
    // The erasure that an upload is part of: it has ended, and its rows are deleted when its bytes are gone.
    'alter table landfall.uploads add column if not exists erasure_id text',
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}

export const indexes: readonly IndexChange[] = [
  // Neither column ever changes: an append changes no index.
  { create: 'uploads_by_owner', on: 'landfall.uploads (owner_id, id)' },
]
