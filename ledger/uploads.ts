import { type Selectable, sql } from 'kysely'
import type { Ledger, LedgerTransaction } from './database.ts'
import type { MediaId, OwnerId, UploadId } from './ids.ts'
import { type Pieces, recordPieces } from './pieces.ts'
import { type Quota, type QuotaDefaults, readQuota } from './quotas.ts'
import { enqueueUnpublishing } from './removal.ts'
import type { Reason, UploadsTable } from './schema.ts'

export type UploadRow = Selectable<UploadsTable> & { id: UploadId; owner_id: OwnerId }

export type NewUpload = {
  id: UploadId
  ownerId: OwnerId
  tenantId: string | null
  protocol: string
  /** Bytes; null when the client declares it later. */
  size: number | null
  /** Bytes of quota to hold: the size, or the largest allowed while the size is unknown. */
  reservedBytes: number
  metadata: Record<string, string | null>
  filename: string | null
  declaredType: string | null
  storageBackend: string
  storageKey: string
  expiresAfterMs: number
}

export type CreateResult =
  | { kind: 'created'; upload: UploadRow }
  | { kind: 'too-many-open' | 'quota-bytes' | 'quota-uploads'; quota: Quota }

/**
 * Reserves quota and inserts the upload, state `open`, in one statement: all of it or nothing.
 * Creations of one owner queue up on the owner's usage row, so parallel ones cannot overbook.
 */
export async function createUpload(
  db: Ledger,
  upload: NewUpload,
  defaults: QuotaDefaults,
): Promise<CreateResult> {
  const bytesLimit = sql`coalesce((select bytes_limit from landfall.quotas where owner_id = ${upload.ownerId}), ${defaults.bytes}::bigint)`
  const uploadsLimit = sql`coalesce((select uploads_limit from landfall.quotas where owner_id = ${upload.ownerId}), ${defaults.uploads}::bigint)`
  const { rows } = await sql<UploadRow>`
    with reserved as (
      insert into landfall.quota_usage as u (owner_id, reserved_bytes, open_uploads)
      select ${upload.ownerId}, ${upload.reservedBytes}::bigint, 1
       where ${defaults.openUploads}::bigint >= 1
         and (${bytesLimit} is null or ${upload.reservedBytes}::bigint <= ${bytesLimit})
         and (${uploadsLimit} is null or ${uploadsLimit} >= 1)
      on conflict (owner_id) do update set
        reserved_bytes = u.reserved_bytes + excluded.reserved_bytes,
        open_uploads = u.open_uploads + 1
       where u.open_uploads < ${defaults.openUploads}::bigint
         and (${bytesLimit} is null
              or u.used_bytes + u.reserved_bytes + excluded.reserved_bytes <= ${bytesLimit})
         and (${uploadsLimit} is null or u.open_uploads + u.finished_uploads < ${uploadsLimit})
      returning owner_id
    ), created as (
      insert into landfall.uploads
        (id, owner_id, tenant_id, protocol, state, size, metadata, filename, declared_type,
         storage_backend, storage_key, reserved_bytes, expires_at)
      select ${upload.id}, owner_id, ${upload.tenantId}::text, ${upload.protocol}, 'open', ${upload.size}::bigint,
             ${JSON.stringify(upload.metadata)}::jsonb, ${upload.filename}::text, ${upload.declaredType}::text,
             ${upload.storageBackend}, ${upload.storageKey}, ${upload.reservedBytes}::bigint,
             now() + make_interval(secs => ${upload.expiresAfterMs / 1000})
        from reserved
      returning *
    ), logged as (
      insert into landfall.events (type, upload_id, owner_id)
      select 'upload.created', id, owner_id from created
    )
    select * from created`.execute(db)
  const row = rows[0]
  if (row) return { kind: 'created', upload: row }

  const quota = await readQuota(db, upload.ownerId, defaults)
  const { bytes, uploads } = quota
  if (uploads.open >= uploads.maxOpen) return { kind: 'too-many-open', quota }
  if (bytes.limit !== null && bytes.used + bytes.reserved + upload.reservedBytes > bytes.limit) {
    return { kind: 'quota-bytes', quota }
  }
  if (uploads.limit !== null && uploads.open + uploads.finished >= uploads.limit) {
    return { kind: 'quota-uploads', quota }
  }
  // Room came free between the two statements: the next attempt of the client will have it.
  return { kind: 'too-many-open', quota }
}

/** The owner's upload, whatever its state; undefined when unknown or somebody else's. */
export async function findUpload(db: Ledger, ownerId: OwnerId, id: UploadId): Promise<UploadRow | undefined> {
  const row = await db
    .selectFrom('uploads')
    .selectAll()
    .where('id', '=', id)
    .where('owner_id', '=', ownerId)
    .executeTakeFirst()
  return row as UploadRow | undefined
}

/** The owner's open, unexpired uploads, newest first. */
export async function listOpenUploads(db: Ledger, ownerId: OwnerId, limit: number): Promise<UploadRow[]> {
  const rows = await db
    .selectFrom('uploads')
    .selectAll()
    .where('owner_id', '=', ownerId)
    .where('state', '=', 'open')
    .where('expires_at', '>', sql<Date>`now()`)
    .orderBy('created_at', 'desc')
    .limit(limit)
    .execute()
  return rows as UploadRow[]
}

/** Bytes `[from, to)` of an upload, written under a lease, and the pieces they are stored in, where there are several. */
export type Append = { id: UploadId; fence: string; from: number; to: number; pieces?: Pieces }

export type AppendResult =
  | { kind: 'appended'; contended: boolean }
  /** The lease was lost or the row is not as expected: the upload was not changed. */
  | { kind: 'fenced-off' }

/**
 * Moves the offset and keeps the lease: for commits while a long request runs. The lease row is
 * locked first, so a takeover is either before this (and it does nothing) or after it.
 */
export async function appendBytes(db: Ledger, append: Append): Promise<AppendResult> {
  const { rows } = await sql<{ contended: boolean }>`
    with lease as (
      select contended from landfall.upload_locks
       where upload_id = ${append.id} and fence = ${append.fence}::uuid for update
    ), appended as (
      update landfall.uploads set "offset" = ${append.to}::bigint, updated_at = now()
        from lease
       where id = ${append.id} and "offset" = ${append.from}::bigint and state = 'open'
      returning id, lease.contended
    )${recordPieces(append.pieces)}
    select contended from appended`.execute(db)
  return rows[0] ? { kind: 'appended', contended: rows[0].contended } : { kind: 'fenced-off' }
}

/** Moves the offset and gives the lease back: the last append of a request. */
export async function appendAndRelease(db: Ledger, append: Append): Promise<AppendResult> {
  const { rows } = await sql<{ contended: boolean }>`
    with lease as (
      delete from landfall.upload_locks
       where upload_id = ${append.id} and fence = ${append.fence}::uuid returning contended
    ), appended as (
      update landfall.uploads set "offset" = ${append.to}::bigint, updated_at = now()
        from lease
       where id = ${append.id} and "offset" = ${append.from}::bigint and state = 'open'
      returning id, lease.contended
    )${recordPieces(append.pieces)}
    select contended from appended`.execute(db)
  return rows[0] ? { kind: 'appended', contended: rows[0].contended } : { kind: 'fenced-off' }
}

/** Puts work into the queue inside the transaction that makes it due. */
export type Enqueue<Subject> = (trx: LedgerTransaction, subject: Subject) => Promise<void>

/**
 * The append that completes the upload: state `received`, media row, quota reserved → used, event
 * and processing job in one transaction, with the lease given back. A crash before it: the client
 * resumes. A crash after it: the worker carries on.
 */
export async function finishUpload(
  db: Ledger,
  append: Append,
  mediaId: MediaId,
  enqueue: Enqueue<MediaId>,
): Promise<AppendResult> {
  return await db.transaction().execute(async (trx) => {
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
    await enqueue(trx, mediaId)
    return { kind: 'appended', contended: row.contended }
  })
}

/**
 * Declares a deferred length (tus 1.0 § creation-defer-length) and shrinks the reservation to it.
 * Returns false when the lease was lost or the length is already known.
 */
export async function declareLength(
  db: Ledger,
  upload: { id: UploadId; fence: string; size: number },
): Promise<boolean> {
  const { rows } = await sql`
    with lease as (
      select 1 from landfall.upload_locks
       where upload_id = ${upload.id} and fence = ${upload.fence}::uuid for update
    ), before as (
      select id, owner_id, reserved_bytes from landfall.uploads, lease
       where id = ${upload.id} and size is null and state = 'open' for update of uploads
    ), declared as (
      update landfall.uploads set size = ${upload.size}::bigint, reserved_bytes = ${upload.size}::bigint,
             updated_at = now()
        from before where uploads.id = before.id
    )
    update landfall.quota_usage u
       set reserved_bytes = u.reserved_bytes - before.reserved_bytes + ${upload.size}::bigint
      from before where u.owner_id = before.owner_id
    returning u.owner_id`.execute(db)
  return rows.length > 0
}

/**
 * Ends an open upload at its owner's wish: state `terminated`, quota released, event written, the
 * removal of its bytes enqueued, the lease given back.
 */
export async function terminateUpload(
  db: Ledger,
  upload: { id: UploadId; fence: string },
  enqueue: Enqueue<UploadId>,
): Promise<AppendResult> {
  return await db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ contended: boolean }>`
      with lease as (
        delete from landfall.upload_locks
         where upload_id = ${upload.id} and fence = ${upload.fence}::uuid returning contended
      ), ended as (
        update landfall.uploads set state = 'terminated', updated_at = now()
          from lease where id = ${upload.id} and state = 'open'
        returning uploads.*, lease.contended
      ), freed as (
        update landfall.quota_usage u
           set reserved_bytes = u.reserved_bytes - e.reserved_bytes, open_uploads = u.open_uploads - 1
          from ended e where u.owner_id = e.owner_id
      ), logged as (
        insert into landfall.events (type, upload_id, owner_id)
        select 'upload.terminated', id, owner_id from ended
      )
      select contended from ended`.execute(trx)
    const row = rows[0]
    if (!row) return { kind: 'fenced-off' }
    await enqueue(trx, upload.id)
    return { kind: 'appended', contended: row.contended }
  })
}

/**
 * Ends a received upload at its owner's wish: its media is deleted as if by the API, so the bytes stay,
 * and count, until it is purged, and a public copy goes; a worker that is at it stops. The lease is given back.
 */
export async function terminateReceived(
  db: Ledger,
  upload: { id: UploadId; fence: string },
  enqueueRemoval: Enqueue<UploadId>,
): Promise<AppendResult> {
  return await db.transaction().execute(async (trx) => {
    // The media first, as everybody locks them who ends both: or two of them would wait for each other.
    await trx.selectFrom('media').select('id').where('upload_id', '=', upload.id).forUpdate().execute()
    const { rows } = await sql<{ contended: boolean }>`
      with lease as (
        delete from landfall.upload_locks
         where upload_id = ${upload.id} and fence = ${upload.fence}::uuid returning contended
      ), ended as (
        update landfall.uploads set state = 'terminated', updated_at = now()
          from lease where id = ${upload.id} and state = 'received'
        returning uploads.*, lease.contended
      ), gone as (
        update landfall.media m set status = 'deleted', deleted_at = now()
          from ended where m.upload_id = ended.id and m.status <> 'deleted'
        returning m.id, m.upload_id, m.owner_id
      ), logged as (
        insert into landfall.events (type, upload_id, media_id, owner_id)
        select 'upload.terminated', id, media_id, owner_id from ended
        union all
        select 'media.deleted', upload_id, id, owner_id from gone
      )
      select contended from ended`.execute(trx)
    const row = rows[0]
    if (!row) return { kind: 'fenced-off' }
    await enqueueUnpublishing(trx, upload.id, enqueueRemoval)
    return { kind: 'appended', contended: row.contended }
  })
}

/**
 * Ends an open upload whose acknowledged bytes the storage has lost: state `rejected` with the reason,
 * quota released, event written, the removal of what is left enqueued, the lease given back.
 */
export async function loseUpload(
  db: Ledger,
  upload: { id: UploadId; fence: string },
  reason: Reason,
  enqueue: Enqueue<UploadId>,
): Promise<AppendResult> {
  const json = JSON.stringify(reason)
  return await db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ contended: boolean }>`
      with lease as (
        delete from landfall.upload_locks
         where upload_id = ${upload.id} and fence = ${upload.fence}::uuid returning contended
      ), ended as (
        update landfall.uploads set state = 'rejected', reject = ${json}::jsonb, updated_at = now()
          from lease where id = ${upload.id} and state = 'open'
        returning uploads.*, lease.contended
      ), freed as (
        update landfall.quota_usage u
           set reserved_bytes = u.reserved_bytes - e.reserved_bytes, open_uploads = u.open_uploads - 1
          from ended e where u.owner_id = e.owner_id
      ), logged as (
        insert into landfall.events (type, upload_id, owner_id, data)
        select 'upload.rejected', id, owner_id, jsonb_build_object('reason', ${json}::jsonb) from ended
      )
      select contended from ended`.execute(trx)
    const row = rows[0]
    if (!row) return { kind: 'fenced-off' }
    await enqueue(trx, upload.id)
    return { kind: 'appended', contended: row.contended }
  })
}
