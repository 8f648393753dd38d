import { type RawBuilder, type Selectable, sql } from 'kysely'
import { Batches, perLedger } from './batches.ts'
import type { Ledger } from './database.ts'
import type { EnqueueRemoval } from './due-work.ts'
import { logEvents, mediaEvent, uploadEvent } from './event-log.ts'
import {
  type ExpiryPolicy,
  extendedExpiry,
  isOpenNow,
  isStoredOpen,
  isStoredUnended,
  stateNow,
} from './expiry.ts'
import type { MediaId, OwnerId, UploadId } from './ids.ts'
import { type Fenced, lockedLease, releasedLease } from './lease-fragments.ts'
import { withOwnerLock, withOwnerShare } from './owner-share.ts'
import { prepared } from './prepared.ts'
import { changeReservation, release } from './quotas.ts'
import { enqueueUnpublishing } from './removal.ts'
import { firstRow, hasRow, rowsOf } from './rows.ts'
import type { Reason, UploadsTable } from './schema.ts'
import { type PartsInJson, partsInJson, recordStoredParts, type StoredParts } from './stored-parts.ts'

/** `state` is that of the moment `read_at`: an expired upload is `expired`, marked or not. */
export type UploadRow = Omit<
  Selectable<UploadsTable>,
  'reap_after' | 'ended_at' | 'is_bare' | 'ended_empty' | 'sheds' | 'erasure_id'
> & {
  id: UploadId
  owner_id: OwnerId
  /** By the clock of the database, like all of its times. */
  read_at: Date
}

/**
 * The columns of an `UploadRow` by name: the columns of a prepared statement must not change when a migration adds one.
 */
export const UPLOAD_COLUMNS = columns<keyof UploadRow>({
  id: true,
  owner_id: true,
  tenant_id: true,
  protocol: true,
  state: true,
  size: true,
  offset: true,
  metadata: true,
  filename: true,
  declared_type: true,
  is_partial: true,
  concat: true,
  is_finished: true,
  metadata_header: true,
  digests: true,
  wanted_digest: true,
  storage_backend: true,
  storage_key: true,
  reserved_bytes: true,
  media_id: true,
  reject: true,
  part_size: true,
  multipart_id: true,
  multipart_unsure: true,
  created_at: true,
  updated_at: true,
  expires_at: true,
  read_at: true,
  received_at: true,
  ticket_id: true,
  terms: true,
})

/** A list of columns that the compiler knows to be complete. */
function columns<Name extends string>(names: Record<Name, true>) {
  const special: Record<string, RawBuilder<unknown>> = {
    state: sql`${stateNow} as state`,
    read_at: sql`now() as read_at`,
  }
  return sql.join(Object.keys(names).map((name) => special[name] ?? sql.ref(name)))
}

/** The owner's upload in any state; undefined when unknown or another owner's. */
export async function findUpload(db: Ledger, ownerId: OwnerId, id: UploadId): Promise<UploadRow | undefined> {
  return (await lookups(db).add({ ownerId, id })) ?? undefined
}

type Lookup = { ownerId: OwnerId; id: UploadId }

const lookups = perLedger(
  (db) =>
    new Batches<Lookup, UploadRow | null>({
      ownerOf: ({ ownerId }) => ownerId,
      together: (items) => findTogether(db, items),
      alone: async (item) => (await findTogether(withOwnerShare(db, item.ownerId), [item]))[0] ?? null,
    }),
)

async function findTogether(db: Ledger, items: readonly Lookup[]): Promise<(UploadRow | null)[]> {
  const rows = await readUploads(db, { ids: items.map(({ id }) => id) })
  const found = new Map(rows.map((row) => [row.id, row]))
  return items.map(({ ownerId, id }) => {
    const row = found.get(id)
    // A row for each caller: they change it.
    return row?.owner_id === ownerId ? { ...row } : null
  })
}

const readUploads = prepared<{ ids: readonly UploadId[] }, UploadRow>(
  (slot) => sql`select ${UPLOAD_COLUMNS} from landfall.uploads where id = any(${slot('ids')}::text[])`,
)

export type UploadPage = {
  ownerId: OwnerId
  /** Partial uploads, or all others. */
  isPartial: boolean
  limit: number
  /** The last upload of the page before. */
  after?: { createdAtMicros: string; id: string } | undefined
}

/** An upload in a list. `createdAtMicros` is exact, unlike a JS date. */
export type ListedUpload = UploadRow & { createdAtMicros: string }

/** A page of the owner's open, unexpired uploads, newest first. */
export async function listOpenUploads(db: Ledger, page: UploadPage): Promise<ListedUpload[]> {
  const { ownerId, isPartial, limit, after } = page
  // The bound of the time alone is one that the index knows.
  const rest = after
    ? sql`and created_at <= ${microsAsTime(after.createdAtMicros)}
          and (created_at, id) < (${microsAsTime(after.createdAtMicros)}, ${after.id})`
    : sql``
  return await rowsOf<ListedUpload>(withOwnerShare(db, ownerId))`
    select ${UPLOAD_COLUMNS}, (extract(epoch from created_at) * 1000000)::bigint::text as "createdAtMicros"
      from landfall.uploads
     where owner_id = ${ownerId} and ${isOpenNow} and is_partial = ${isPartial} ${rest}
     order by created_at desc, id desc limit ${limit}`
}

const microsAsTime = (micros: string) =>
  sql`'epoch'::timestamptz + ${micros}::bigint * interval '1 microsecond'`

/** Bytes `[offset, to)` of an upload, written under a lease, and the parts and tails that hold them in a bucket. */
export type Append = {
  id: UploadId
  ownerId: OwnerId
  fence: string
  offset: number
  to: number
  storedParts?: StoredParts
}

/** An upload of this owner, under the lease that its request holds. */
export type HeldUpload = { id: UploadId; ownerId: OwnerId; fence: string }

/** Result of a change under a lease. `lease-lost`: it was, or the row is not as expected; nothing was changed. */
export type Committed<Details = unknown> =
  | ({ kind: 'committed'; contended: boolean } & Details)
  | { kind: 'lease-lost' }

/** Its new expiry. */
export type Moved = Pick<UploadRow, 'expires_at' | 'read_at'>

/** Result of a termination. */
export type Termination = {
  /** It had expired and was marked: this is not a new end. */
  wasOver: boolean
  /** The media item that was deleted with it. */
  mediaId: MediaId | undefined
}

type AppendParameters = Fenced & ExpiryPolicy & PartsInJson & { offset: number; to: number }

/** Moves the offset and the expiry, and keeps or releases the lease; with parts of a bucket or without. */
const appending = (lease: typeof lockedLease, hasParts: boolean) =>
  prepared<AppendParameters, { contended: boolean } & Moved>(
    (slot) => sql`
    with ${lease({ id: slot('id'), fence: slot('fence') })}, appended as (
      update landfall.uploads
         set "offset" = ${slot('to')}::bigint, updated_at = now(),
             expires_at = ${extendedExpiry({ afterMs: slot('afterMs'), maxAgeMs: slot('maxAgeMs') })}
        from lease
       where id = lease.upload_id and "offset" = ${slot('offset')}::bigint and ${isStoredOpen()}
      returning id, lease.contended, expires_at, now() as read_at
    )${hasParts ? recordStoredParts({ parts: slot('parts'), tails: slot('tails') }) : sql``}
    select contended, expires_at, read_at from appended`,
  )

function appends(lease: typeof lockedLease) {
  const [file, parts] = [appending(lease, false), appending(lease, true)]
  return async (db: Ledger, append: Append, expiry: ExpiryPolicy): Promise<Committed<Moved>> => {
    const { ownerId, storedParts, ...appended } = append
    const run = storedParts ? parts : file
    const parameters = { ...appended, ...expiry, ...partsInJson(storedParts) }
    const [row] = await run(withOwnerShare(db, ownerId), parameters)
    return row ? { kind: 'committed', ...row } : { kind: 'lease-lost' }
  }
}

/** Moves the offset and the expiry, and keeps the lease: for commits during a long request. */
export const appendBytes = appends(lockedLease)

/** Moves the offset and the expiry, and releases the lease: the last append of a request. */
export const appendAndRelease = appends(releasedLease)

/**
 * Declares a deferred length (tus 1.0 § creation-defer-length) and shrinks the reservation to it. Returns false when
 * the lease was lost or the length is already known.
 */
export async function declareLength(db: Ledger, upload: HeldUpload & { size: number }): Promise<boolean> {
  return await withOwnerLock(db, upload.ownerId, async (trx) => {
    return await hasRow(trx)`
    with ${lockedLease(upload)}, before as (
      select id, owner_id, reserved_bytes from landfall.uploads, lease
       where id = ${upload.id} and (size is null or protocol = 'direct') and ${isStoredOpen()} for update of uploads
    ), declared as (
      update landfall.uploads set size = ${upload.size}::bigint, reserved_bytes = ${upload.size}::bigint,
             updated_at = now()
        from before where uploads.id = before.id
    )
    ${changeReservation('before', upload.size)} returning u.owner_id`
  })
}

/**
 * Terminates an open upload, or a used partial one, for its owner: state `terminated`, quota released, event written,
 * removal of its bytes enqueued, lease released. An expired one as well: where the reaper has marked it, quota and
 * event are settled already.
 */
export async function terminateUpload(
  db: Ledger,
  upload: HeldUpload,
  enqueue: EnqueueRemoval,
): Promise<Committed<Termination>> {
  return await withOwnerLock(db, upload.ownerId, async (trx) => {
    const row = await firstRow<{ contended: boolean; was_over: boolean }>(trx)`
      with ${releasedLease(upload)}, before as (
        select id, state, contended from landfall.uploads, lease
         where id = ${upload.id} and (state = 'expired' or ${isStoredUnended()})
           for update of uploads
      ), ended as (
        update landfall.uploads u set state = 'terminated', updated_at = now()
          from before where u.id = before.id
        returning u.*, before.contended, before.state = 'expired' as was_over
      ), freed as (
        ${release('ended', sql`received_at is null and not was_over`)}
      ), ${logEvents(uploadEvent('ended', 'upload.terminated', { where: sql`not was_over` }))}
      select contended, was_over from ended`
    if (!row) return { kind: 'lease-lost' }
    await enqueue(trx, upload.id)
    return { kind: 'committed', contended: row.contended, wasOver: row.was_over, mediaId: undefined }
  })
}

/**
 * Terminates a received upload for its owner: its media item is deleted as by the API. Its bytes stay, and count, until
 * it is purged; a public copy is removed; a worker that processes it stops. Releases the lease.
 */
export async function terminateReceived(
  db: Ledger,
  upload: HeldUpload,
  enqueueRemoval: EnqueueRemoval,
): Promise<Committed<Termination>> {
  return await withOwnerLock(db, upload.ownerId, async (trx) => {
    // The media item first: everything that ends both locks in this order, to avoid deadlocks.
    await trx
      .selectFrom('landfall.media')
      .select('id')
      .where('upload_id', '=', upload.id)
      .forUpdate()
      .execute()
    const row = await firstRow<{ contended: boolean; media_id: MediaId | null }>(trx)`
      with ${releasedLease(upload)}, ended as (
        update landfall.uploads set state = 'terminated', updated_at = now()
          from lease where id = ${upload.id} and state = 'received'
        returning uploads.*, lease.contended
      ), gone as (
        update landfall.media m set status = 'deleted', deleted_at = now()
          from ended where m.upload_id = ended.id and m.status <> 'deleted'
        returning m.id, m.upload_id, m.owner_id
      ), ${logEvents(uploadEvent('ended', 'upload.terminated'), mediaEvent('gone', 'media.deleted'))}
      select contended, (select id from gone) as media_id from ended`
    if (!row) return { kind: 'lease-lost' }
    await enqueueUnpublishing(trx, upload.id, enqueueRemoval)
    return { kind: 'committed', contended: row.contended, wasOver: false, mediaId: row.media_id ?? undefined }
  })
}

/**
 * Ends an open upload with a rejected content, or whose acknowledged bytes the storage has lost: state `rejected` with
 * the reason, quota released, event written, removal of the rest enqueued, lease released.
 */
export async function rejectUpload(
  db: Ledger,
  upload: HeldUpload,
  reason: Reason,
  enqueue: EnqueueRemoval,
): Promise<Committed> {
  const json = JSON.stringify(reason)
  return await withOwnerLock(db, upload.ownerId, async (trx) => {
    const row = await firstRow<{ contended: boolean }>(trx)`
      with ${releasedLease(upload)}, ended as (
        update landfall.uploads set state = 'rejected', reject = ${json}::jsonb, updated_at = now()
          from lease where id = ${upload.id} and ${isStoredOpen()}
        returning uploads.*, lease.contended
      ), freed as (
        ${release('ended', sql`received_at is null`)}
      ), ${logEvents(uploadEvent('ended', 'upload.rejected', { data: sql`jsonb_build_object('reason', reject)` }))}
      select contended from ended`
    if (!row) return { kind: 'lease-lost' }
    await enqueue(trx, upload.id)
    return { kind: 'committed', contended: row.contended }
  })
}
