import { sql } from 'kysely'
import { Batches, perLedger, usageLane } from './batches.ts'
import { type Ledger, PREPARED } from './database.ts'
import type { MediaId, UploadId } from './ids.ts'
import { inTurn } from './owner-share.ts'
import { recordPieces } from './pieces.ts'
import type { Append, AppendResult, DueMedia, Enqueue } from './uploads.ts'

/**
 * The append that completes the upload: state `received`, media row, quota reserved → used, event
 * and processing job in one transaction, with the lease given back. A crash before it: the client
 * resumes. A crash after it: the worker carries on.
 */
export async function finishUpload(
  db: Ledger,
  append: Append,
  mediaId: MediaId,
  enqueue: Enqueue<readonly DueMedia[]>,
): Promise<AppendResult> {
  const item = { append, mediaId, enqueue }
  return append.pieces ? await finishAlone(db, item) : await finishes(db).add(item)
}

type Finish = { append: Append; mediaId: MediaId; enqueue: Enqueue<readonly DueMedia[]> }

const finishes = perLedger(
  (db) =>
    new Batches<Finish, AppendResult>(
      {
        ownerOf: ({ append }) => append.ownerId,
        together: (items) => finishTogether(db, items),
        alone: (item) => finishAlone(db, item),
      },
      usageLane(db),
    ),
)

/**
 * Finishes those whose rows are as expected and nobody else's at the moment, each under its own fence. The rest
 * is left to `finishAlone`, which waits and says what is wrong.
 */
async function finishTogether(db: Ledger, items: readonly Finish[]): Promise<(AppendResult | undefined)[]> {
  const enqueue = items[0]?.enqueue
  if (!enqueue || items.some((item) => item.enqueue !== enqueue)) return []
  const given = items.map(({ append: { id, fence, from, to }, mediaId }) => ({
    id,
    fence,
    begins: from,
    ends: to,
    media_id: mediaId,
  }))
  return await db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ id: UploadId; media_id: MediaId; size: number; contended: boolean }>`
      ${PREPARED} with given as materialized (
        select * from jsonb_to_recordset(${JSON.stringify(given)}::jsonb) as g (
          id text, fence uuid, begins bigint, ends bigint, media_id text)
      ), lease as materialized (
        select g.*, l.contended from given g join landfall.upload_locks l on l.upload_id = g.id and l.fence = g.fence
           for update of l skip locked
      ), whole as materialized (
        select l.*, u.owner_id
          from lease l join landfall.uploads u on u.id = l.id
         where u."offset" = l.begins and u.size = l.ends and u.state = 'open' for update of u skip locked
      ), usage as materialized (
        select owner_id from landfall.quota_usage
         where owner_id = any(select owner_id from whole) for update skip locked
      ), appended as (
        update landfall.uploads u
           set "offset" = w.ends, state = 'received', media_id = w.media_id, received_at = now(), updated_at = now()
          from whole w join usage using (owner_id)
         where u.id = w.id
        returning u.*, w.contended
      ), released as (
        delete from landfall.upload_locks l using appended a where l.upload_id = a.id
      ), charged as (
        update landfall.quota_usage u
           set reserved_bytes = u.reserved_bytes - r.reserved, used_bytes = u.used_bytes + r.bytes,
               open_uploads = u.open_uploads - r.uploads, finished_uploads = u.finished_uploads + r.uploads
          from (select owner_id, sum(reserved_bytes)::bigint as reserved, sum(size)::bigint as bytes,
                       count(*) as uploads
                  from appended group by owner_id) r
         where u.owner_id = r.owner_id
      ), media as (
        insert into landfall.media (id, upload_id, owner_id, tenant_id, filename, size, status, storage_key)
        select media_id, id, owner_id, tenant_id, filename, size, 'processing', storage_key from appended
      ), logged as (
        insert into landfall.events (type, upload_id, media_id, owner_id)
        select 'upload.received', id, media_id, owner_id from appended
      )
      select id, media_id, size, contended from appended`.execute(trx)
    if (rows.length > 0) {
      await enqueue(
        trx,
        rows.map((row) => ({ id: row.media_id, size: row.size })),
      )
    }
    const finished = new Map(rows.map((row) => [row.id, row]))
    return items.map(({ append: { id }, mediaId }) => {
      const row = finished.get(id)
      return row?.media_id === mediaId ? { kind: 'appended', contended: row.contended } : undefined
    })
  })
}

async function finishAlone(db: Ledger, { append, mediaId, enqueue }: Finish): Promise<AppendResult> {
  return await inTurn(db, append.ownerId, async (trx) => {
    const { rows } = await sql<{ contended: boolean }>`
      with lease as (
        delete from landfall.upload_locks
         where upload_id = ${append.id} and fence = ${append.fence}::uuid returning contended
      ), appended as (
        update landfall.uploads
           set "offset" = ${append.to}::bigint, state = 'received', media_id = ${mediaId},
               received_at = now(), updated_at = now()
          from lease
         where id = ${append.id} and "offset" = ${append.from}::bigint and state = 'open'
           and size = ${append.to}::bigint
        returning uploads.*, lease.contended
      ), charged as (
        update landfall.quota_usage u
           set reserved_bytes = u.reserved_bytes - r.reserved_bytes, used_bytes = u.used_bytes + r.size,
               open_uploads = u.open_uploads - 1, finished_uploads = u.finished_uploads + 1
          from appended r where u.owner_id = r.owner_id
      ), media as (
        insert into landfall.media (id, upload_id, owner_id, tenant_id, filename, size, status, storage_key)
        select media_id, id, owner_id, tenant_id, filename, size, 'processing', storage_key from appended
      ), logged as (
        insert into landfall.events (type, upload_id, media_id, owner_id)
        select 'upload.received', id, media_id, owner_id from appended
      )${recordPieces(append.pieces)}
      select contended from appended`.execute(trx)
    const row = rows[0]
    if (!row) return { kind: 'fenced-off' }
    await enqueue(trx, [{ id: mediaId, size: append.to }])
    return { kind: 'appended', contended: row.contended }
  })
}
