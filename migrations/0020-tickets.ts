import { type QueryExecutorProvider, sql } from 'kysely'
import type { IndexChange } from './migration.ts'

/** Upload tickets, and what uploads that were begun with one keep of it. */
export async function up(db: QueryExecutorProvider): Promise<void> {
  const statements = [
    `create table if not exists landfall.upload_tickets (
       id text primary key,
       token_hash bytea not null unique,
       owner_id text not null,
       tenant_id text,
       max_size bigint check (max_size >= 0),
       allowed_types text,
       metadata jsonb not null default '{}',
       uploads_allowed integer not null check (uploads_allowed > 0),
       begin_before timestamptz not null,
       upload_within_seconds integer check (upload_within_seconds > 0),
       revoked_at timestamptz,
       created_at timestamptz not null default now()
     )`,
    `create index if not exists upload_tickets_by_owner on landfall.upload_tickets (owner_id, created_at desc, id desc)`,
    `create index if not exists upload_tickets_by_tenant
       on landfall.upload_tickets (coalesce(tenant_id, ''), created_at desc, id desc)`,
    `create index if not exists upload_tickets_by_end on landfall.upload_tickets (begin_before)`,
    `alter table landfall.uploads add column if not exists ticket_id text, add column if not exists terms jsonb`,
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}

export const indexes: readonly IndexChange[] = [
  { create: 'uploads_by_ticket', on: 'landfall.uploads (ticket_id) where ticket_id is not null' },
]
