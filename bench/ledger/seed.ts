import { sql } from 'kysely'
import type { Ledger } from '../../ledger/database.ts'

/** An argument says otherwise, to try the bench. */
export const UPLOADS = Number(process.argv[2] ?? 1_150_000)
export const WAITING = 50_000
const HISTORY = 200_000

/**
 * A ledger that has been used for long: a million media items of a thousand owners, of whom `busy` has a tenth, and the uploads
 * of these and others; 50,000 wait with a job, and 20,000 uploads are open. Triggers are off meanwhile.
 */
export async function seed(db: Ledger): Promise<void> {
  const statements = [
    `set session_replication_role = replica`,
    `insert into landfall.uploads (id, owner_id, protocol, state, size, "offset", metadata, filename, storage_backend,
       storage_key, reserved_bytes, media_id, created_at, updated_at, expires_at, reap_after, received_at, ended_at, is_bare)
     select lpad(i::text, 22, '0'), case when i % 10 = 0 then 'busy' else 'owner-' || i % 1000 end, 'tus-1.0',
            case when i > ${UPLOADS - 20_000} then 'open' when i % 10 = 1 then 'terminated' else 'received' end,
            1000, case when i > ${UPLOADS - 20_000} or i % 10 = 1 then 0 else 1000 end, '{"filename": "a.jpg"}', 'a.jpg', 'disk',
            'uploads/' || i, 1000, case when i <= ${UPLOADS - 20_000} and i % 10 <> 1 then lpad(i::text, 22, '0') end,
            now() - interval '60 days' * (1 - i / ${UPLOADS}.0), now() - interval '60 days' * (1 - i / ${UPLOADS}.0),
            now() + interval '1 day', now() + interval '1 day', now(),
            case when i % 10 = 1 and i <= ${UPLOADS - 20_000} then now() - interval '60 days' * (1 - i / ${UPLOADS}.0) end, false
       from generate_series(1, ${UPLOADS}) i`,
    // One in a hundred is deleted. Names, sizes and lengths are in no order that others have.
    `insert into landfall.media (id, upload_id, owner_id, size, filename, sha256, duration_seconds, attached_type,
       attached_id, status, kind, storage_key, storage_backend, metadata,
       created_at, deleted_at)
     select media_id, id, owner_id, 1000 + hashtext(id) % 1000, md5(id) || ' Urlaub.jpg', encode(sha256(id::bytea), 'hex'),
            case when id::bigint % 3 = 0 then abs(hashtext('d' || id)) % 7200 end,
            case when id::bigint % 4 = 0 then 'course' end, case when id::bigint % 4 = 0 then (id::bigint / 1000 % 50)::text end,
            case when id::bigint > ${UPLOADS - 20_000 - 56_000} then 'processing'
                 when id::bigint % 100 = 50 then 'deleted' else 'ready' end,
            case when id::bigint > ${UPLOADS - 20_000 - 56_000} then null when id::bigint % 3 = 0 then 'video' else 'image' end, storage_key,
            storage_backend, '{}', created_at, case when id::bigint % 100 = 50 then now() - interval '1 day' end
       from landfall.uploads where media_id is not null`,
    `insert into landfall.events (type, upload_id, media_id, owner_id, created_at)
     select 'upload.received', id, media_id, owner_id, created_at
       from landfall.uploads where media_id is not null order by id limit ${HISTORY}`,
    `insert into landfall.processing_steps (media_id, step, attempt, status, started_at, finished_at)
     select m.id, s, 1, 'done', m.created_at, m.created_at + interval '1 second'
       from (select id, created_at from landfall.media order by id limit ${HISTORY / 4}) m,
            unnest(array['assemble', 'identify', 'scan', 'thumbnail']) s`,
    `insert into landfall.upload_locks (upload_id, holder, fence, expires_at)
     select id, 'other', gen_random_uuid(), now() + interval '1 hour' from landfall.uploads where state = 'open'`,
    `insert into landfall.quota_usage (owner_id, reserved_bytes, used_bytes, open_uploads, finished_uploads)
     select owner_id, coalesce(sum(reserved_bytes) filter (where state = 'open'), 0),
            coalesce(sum(size) filter (where state = 'received'), 0), count(*) filter (where state = 'open'),
            count(*) filter (where state = 'received')
       from landfall.uploads group by owner_id`,
    // More of them than are looked for: those of the last ten minutes may have none yet.
    `insert into pgboss.job (name, data)
     select 'process-media', jsonb_build_object('mediaId', id) from landfall.media where status = 'processing'`,
    `set session_replication_role = origin`,
  ]
  await db.connection().execute(async (session) => {
    for (const statement of statements) await sql.raw(statement).execute(session)
  })
  // As the database does by itself, a minute later.
  for (const table of ['uploads', 'media', 'events', 'processing_steps', 'upload_locks', 'quota_usage'])
    await sql.raw(`vacuum analyze landfall.${table}`).execute(db)
  await sql`vacuum analyze pgboss.job`.execute(db)
}
