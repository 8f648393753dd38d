import { type Kysely, sql } from 'kysely'

/** Whose turn it is to have a file processed, and which media items are asked for once more. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    // Virtual time, in milliseconds of work: see ledger/processing-turns.ts. It begins where the priorities are that the release
    // before this one gave by the clock, so that what waits in the queues goes on in order.
    `create table landfall.turn_clocks (
      kind text primary key,
      now_ms bigint not null
    )`,
    `insert into landfall.turn_clocks (kind, now_ms)
     select kind, (extract(epoch from now()) - extract(epoch from timestamptz '2026-01-01 00:00:00+00'))::bigint * 1000
       from (values ('processing'), ('again'), ('analysis'), ('transcoding')) as kinds (kind)`,
    `create table landfall.turns (
      kind text not null,
      owner_id text not null,
      until_ms bigint not null,
      primary key (kind, owner_id)
    )`,
    // Of new files the same is kept where their owner's row is written anyway.
    `alter table landfall.quota_usage
      add column turn_until_ms bigint not null default 0,
      add column short_turn_until_ms bigint not null default 0`,
    `alter table landfall.media add column is_asked_again boolean not null default false`,
    `create index media_asked_again on landfall.media (id) where is_asked_again`,
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}
