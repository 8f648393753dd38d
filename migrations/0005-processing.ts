import { type Kysely, sql } from 'kysely'

/** Webhooks, tickets for event streams, and what a fuller pipeline finds out about a media. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    `create table landfall.webhook_endpoints (
      id text primary key,
      url text not null,
      -- Told by the receiver that it wants no more (410), or not configured any more.
      disabled_at timestamptz,
      disabled_reason text,
      created_at timestamptz not null default now()
    )`,
    `create table landfall.webhook_deliveries (
      -- Also the webhook-id that the receiver sees: the same in every attempt.
      id text primary key,
      -- The order in which the events happened; a replayed one comes last.
      position bigint generated always as identity unique,
      endpoint_id text not null references landfall.webhook_endpoints (id),
      event_id bigint not null references landfall.events (id),
      upload_id text not null,
      media_id text,
      owner_id text not null,
      type text not null,
      status text not null default 'pending' check (status in ('pending', 'delivered', 'failed')),
      attempts integer not null default 0,
      -- Attempts that failed since it was made or replayed: where it is in the schedule.
      failures integer not null default 0,
      -- While it is in flight: when the one who took it counts as gone.
      next_attempt_at timestamptz not null default now(),
      -- Of whoever has taken it.
      lease uuid,
      -- What the first attempt sent, which is what the others send.
      payload text,
      last_status integer,
      last_error text,
      created_at timestamptz not null default now(),
      delivered_at timestamptz
    )`,
    `create index webhook_deliveries_due on landfall.webhook_deliveries (endpoint_id, next_attempt_at)
      where status = 'pending'`,
    // One at a time for each upload, in order.
    `create index webhook_deliveries_pending on landfall.webhook_deliveries (endpoint_id, upload_id, position)
      where status = 'pending'`,
    `create index webhook_deliveries_by_owner on landfall.webhook_deliveries (owner_id, position desc)`,
    `create table landfall.webhook_attempts (
      delivery_id text not null references landfall.webhook_deliveries (id) on delete cascade,
      attempt integer not null,
      at timestamptz not null default now(),
      status integer,
      error text,
      duration_ms integer not null,
      primary key (delivery_id, attempt)
    )`,
    // In the transaction that makes the event, whichever statement that is.
    `create function landfall.enqueue_webhooks() returns trigger language plpgsql as $$
      begin
        insert into landfall.webhook_deliveries (id, endpoint_id, event_id, upload_id, media_id, owner_id, type)
        select 'msg_' || replace(gen_random_uuid()::text, '-', ''), e.id, new.id, new.upload_id, new.media_id,
               new.owner_id, new.type
          from landfall.webhook_endpoints e where e.disabled_at is null;
        return null;
      end $$`,
    `create trigger enqueue_webhooks after insert on landfall.events for each row
      when (new.type in ('upload.received', 'upload.terminated', 'upload.expired', 'upload.rejected', 'media.ready',
                         'media.rejected', 'media.failed', 'media.deleted', 'analysis.finished',
                         'hls.finished'))
      execute function landfall.enqueue_webhooks()`,
    `create index events_by_owner on landfall.events (owner_id, id)`,
    // What operators watch: what failed and waits for them, and what the steps have taken lately.
    `create index media_failed on landfall.media (created_at) where status = 'failed'`,
    `create index processing_steps_finished on landfall.processing_steps (finished_at) where finished_at is not null`,
    // For those that cannot send headers, such as EventSource: good for a minute.
    `create table landfall.stream_tickets (
      token_hash bytea primary key,
      owner_id text not null,
      scopes text[] not null,
      expires_at timestamptz not null
    )`,
    `create index stream_tickets_by_expiry on landfall.stream_tickets (expires_at)`,
    `alter table landfall.media
      add column thumbhash text,
      add column rotation integer,
      add column is_hdr boolean,
      add column video_streams integer,
      add column audio_streams integer,
      add column captions text[],
      add column scan_status text check (scan_status in ('clean', 'unscanned', 'off')),
      add column is_parked boolean not null default false,
      -- While an answer of the engine that analyses it is waited for.
      add column analysis_due_at timestamptz`,
    `create index media_awaiting_analysis on landfall.media (analysis_due_at) where analysis_due_at is not null`,
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}
