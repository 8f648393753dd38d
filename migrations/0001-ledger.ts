import { type Kysely, sql } from 'kysely'

/** The first ledger: uploads, leases, quotas, media, processing steps, events. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    `create table landfall.uploads (
      id text primary key check (id ~ '^[A-Za-z0-9_-]{22}$'),
      owner_id text not null,
      tenant_id text,
      protocol text not null,
      state text not null check (state in ('open', 'received', 'terminated', 'expired', 'rejected')),
      size bigint check (size >= 0),
      "offset" bigint not null default 0 check ("offset" >= 0),
      metadata jsonb not null,
      filename text,
      declared_type text,
      is_partial boolean not null default false,
      storage_backend text not null,
      storage_key text not null,
      reserved_bytes bigint not null check (reserved_bytes >= 0),
      media_id text,
      reject jsonb,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      expires_at timestamptz not null,
      received_at timestamptz,
      check (size is null or "offset" <= size),
      check (state <> 'received' or "offset" = size)
    )`,
    `create index uploads_open_by_owner on landfall.uploads (owner_id, created_at desc) where state = 'open'`,
    `create index uploads_open_by_expiry on landfall.uploads (expires_at) where state = 'open'`,

    // Leases need not survive a crash of the database: every append checks its fence against this
    // table, so an emptied table only refuses appends. Unlogged commits cost no disk flush.
    `create unlogged table landfall.upload_locks (
      upload_id text primary key,
      holder text not null,
      fence uuid not null,
      contended boolean not null default false,
      expires_at timestamptz not null
    )`,

    `create table landfall.quotas (
      owner_id text primary key,
      bytes_limit bigint check (bytes_limit >= 0),
      uploads_limit bigint check (uploads_limit >= 0)
    )`,
    `create table landfall.quota_usage (
      owner_id text primary key,
      reserved_bytes bigint not null default 0 check (reserved_bytes >= 0),
      used_bytes bigint not null default 0 check (used_bytes >= 0),
      open_uploads bigint not null default 0 check (open_uploads >= 0),
      finished_uploads bigint not null default 0 check (finished_uploads >= 0)
    )`,

    `create table landfall.media (
      id text primary key,
      upload_id text not null unique references landfall.uploads (id),
      owner_id text not null,
      tenant_id text,
      filename text,
      content_type text,
      kind text check (kind in ('video', 'image', 'audio')),
      size bigint not null,
      sha256 text,
      status text not null check (status in ('processing', 'ready', 'rejected', 'failed', 'deleted')),
      reason jsonb,
      duration_seconds double precision,
      width integer,
      height integer,
      fps double precision,
      video_codec text,
      audio_codec text,
      has_audio boolean,
      bitrate bigint,
      quality text,
      attached_type text,
      attached_id text,
      storage_key text not null,
      analysis jsonb,
      created_at timestamptz not null default now(),
      ready_at timestamptz,
      deleted_at timestamptz
    )`,
    `create index media_by_owner on landfall.media (owner_id, created_at desc, id desc) where status <> 'deleted'`,
    `create index media_by_hash on landfall.media (owner_id, sha256) where sha256 is not null`,

    `create table landfall.renditions (
      media_id text not null references landfall.media (id),
      kind text not null,
      storage_key text not null,
      content_type text not null,
      width integer,
      height integer,
      size bigint not null,
      primary key (media_id, kind)
    )`,

    `create table landfall.processing_steps (
      media_id text not null references landfall.media (id),
      step text not null,
      attempt integer not null,
      status text not null check (status in ('running', 'done', 'rejected', 'failed')),
      started_at timestamptz not null default now(),
      finished_at timestamptz,
      detail jsonb,
      primary key (media_id, step, attempt)
    )`,

    `create table landfall.events (
      id bigint generated always as identity primary key,
      type text not null,
      upload_id text not null,
      media_id text,
      owner_id text not null,
      data jsonb,
      created_at timestamptz not null default now()
    )`,
    `create index events_by_upload on landfall.events (upload_id, id)`,

    // Keys that every node must share, such as the one that signs content links.
    `create table landfall.secrets (name text primary key, value bytea not null)`,
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}
