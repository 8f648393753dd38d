import { type Kysely, sql } from 'kysely'

/** Concatenation (tus 1.0), and digests that a client has promised (RFC 9530). */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    `alter table landfall.uploads
      -- Upload-Concat as the client said it: "partial", or "final;" and its partials.
      add column concat text,
      -- A partial upload has all of its bytes, and they are stored as those of a whole one.
      add column is_finished boolean not null default false,
      -- Upload-Metadata as the client said it, which HEAD repeats to the letter.
      add column metadata_header text,
      -- Of the whole file, by algorithm, in base64, to be compared with what was received.
      add column digests jsonb,
      -- The algorithm in which the client would like to be told the digest of the whole file.
      add column wanted_digest text`,
    `alter table landfall.quota_usage
      add column open_partials bigint not null default 0 check (open_partials >= 0)`,
    // What a final upload is made of, for as long as that is needed: until it is one object, or has ended.
    `create table landfall.upload_concat (
      final_id text not null references landfall.uploads (id),
      position integer not null check (position >= 0),
      partial_id text not null references landfall.uploads (id),
      -- The reservation of the partial is the final's once that is complete. Each has one taker at most.
      takes_reservation boolean not null,
      primary key (final_id, position)
    )`,
    'create index upload_concat_by_partial on landfall.upload_concat (partial_id)',
    `create index uploads_used_partials on landfall.uploads (expires_at) where is_partial and state = 'received'`,
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}
