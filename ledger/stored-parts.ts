import { type RawBuilder, sql } from 'kysely'
import type { Ledger } from './database.ts'
import { isStoredEnded, isStoredOpen } from './expiry.ts'
import type { UploadId } from './ids.ts'
import { type Fenced, lockedLease, releasedLease } from './lease-fragments.ts'
import type { InSql } from './prepared.ts'
import { firstRow, hasRow, run, valuesOf } from './rows.ts'
import type { UploadState } from './schema.ts'

// What an upload has in S3 before it is one object. The bucket is never listed: a key is recorded before the bucket is
// asked to create it.

/** One part of the grid, as acknowledged by the bucket. */
export type PartRow = { partNumber: number; offset: number; size: number; etag: string }

/**
 * Bytes `[offset, offset + size)` in an object of their own, because they do not fill a part yet. `isConfirmed`: the
 * first call to store it succeeded, so that no late call can store it again after its removal.
 */
export type TailRow = { key: string; offset: number; size: number; etag: string; isConfirmed: boolean }

/** What an append records together with the new offset. */
export type StoredParts = { parts: readonly PartRow[]; tails: readonly TailRow[] }

export type PartsInJson = { parts: string; tails: string }

/** Parts and tails as parameters of `recordStoredParts`. */
export const partsInJson = ({ parts, tails }: StoredParts = { parts: [], tails: [] }): PartsInJson => ({
  parts: JSON.stringify(
    parts.map(({ partNumber, offset, size, etag }) => ({ part_number: partNumber, at: offset, size, etag })),
  ),
  tails: JSON.stringify(tails),
})

/**
 * Common table expressions that record parts and tails if, and only if, the offset moves. They follow one called `appended`,
 * which returns the `id` of the upload.
 */
export const recordStoredParts = (stored: InSql<PartsInJson>): RawBuilder<unknown> => sql`
    , parts as (
      insert into landfall.upload_parts (upload_id, part_number, "offset", size, etag)
      select a.id, p.part_number, p.at, p.size, p.etag
        from appended a,
             jsonb_to_recordset(${stored.parts}::jsonb) as p (part_number integer, at bigint, size bigint, etag text)
      on conflict (upload_id, part_number) do update set
        "offset" = excluded."offset", size = excluded.size, etag = excluded.etag
    ), tails as (
      update landfall.upload_tails t set etag = p.etag, is_sure = p."isConfirmed"
        from appended a, jsonb_to_recordset(${stored.tails}::jsonb) as p (key text, etag text, "isConfirmed" boolean)
       where t.upload_id = a.id and t.storage_key = p.key
    )`

/** `held`: the upload if the lease is current and it is open. The lease row is locked first, as by every append. */
const held = (upload: Fenced) => sql`
  ${lockedLease(upload)}, held as (
    select u.id, u.multipart_unsure from landfall.uploads u join lease on lease.upload_id = u.id
     where ${isStoredOpen('u')} for update of u
  )`

/**
 * Notes that a multipart upload is about to be opened, and fixes the part size. Returns whether one with an unknown id
 * may have been opened before; undefined when the lease was lost.
 */
export async function beginMultipart(
  db: Ledger,
  upload: Fenced & { partSize: number },
): Promise<{ mayHaveStrays: boolean } | undefined> {
  return await firstRow<{ mayHaveStrays: boolean }>(db)`
    with ${held(upload)}
    update landfall.uploads u
       set multipart_unsure = true, part_size = coalesce(u.part_size, ${upload.partSize}::bigint)
      from held where u.id = held.id
    returning held.multipart_unsure as "mayHaveStrays"`
}

/** Records the multipart upload that was opened. Returns false when the lease was lost: nobody will use it. */
export async function recordMultipart(
  db: Ledger,
  upload: Fenced & { multipartId: string; mayHaveStrays: boolean },
): Promise<boolean> {
  return await hasRow(db)`
    with ${held(upload)}
    update landfall.uploads u
       set multipart_id = ${upload.multipartId}, multipart_unsure = ${upload.mayHaveStrays}
      from held where u.id = held.id
    returning u.id`
}

/** Records the key of a tail before it is stored. Returns false when the lease was lost. */
export async function recordTail(
  db: Ledger,
  upload: Fenced & { partSize: number; key: string; offset: number; size: number },
): Promise<boolean> {
  return await hasRow(db)`
    with ${held(upload)}, sized as (
      update landfall.uploads u set part_size = ${upload.partSize}::bigint
        from held where u.id = held.id and u.part_size is null
    )
    insert into landfall.upload_tails (upload_id, storage_key, "offset", size)
    select id, ${upload.key}, ${upload.offset}::bigint, ${upload.size}::bigint from held
    returning upload_id`
}

/** The tails that count and reach past `from`, by offset, the longest first. */
export async function countingTails(db: Ledger, id: UploadId, from: number): Promise<TailRow[]> {
  const rows = await db
    .selectFrom('landfall.upload_tails')
    .select(['storage_key', 'offset', 'size', 'etag', 'is_sure'])
    .where('upload_id', '=', id)
    .where('etag', 'is not', null)
    .where('dropped_at', 'is', null)
    .where(sql<boolean>`"offset" + size > ${from}`)
    .orderBy('offset')
    .orderBy('size', 'desc')
    .execute()
  return rows.flatMap(({ storage_key, offset, size, etag, is_sure }) =>
    etag === null ? [] : [{ key: storage_key, offset, size, etag, isConfirmed: is_sure }],
  )
}

/**
 * Deletes the records of tails whose objects were removed. Those that a late call may still store are kept, to be
 * removed a second time.
 */
export async function deleteTails(db: Ledger, id: UploadId, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return
  await run(db)`
    with sure as (
      delete from landfall.upload_tails
       where upload_id = ${id} and storage_key = any(${[...keys]}::text[]) and is_sure
    )
    update landfall.upload_tails set dropped_at = now()
     where upload_id = ${id} and storage_key = any(${[...keys]}::text[]) and not is_sure and dropped_at is null
  `
}

/** Notes that a late call may still store this object of an ended upload, though it was removed. */
export async function recordLateCall(db: Ledger, id: UploadId, key: string): Promise<void> {
  await db
    .insertInto('landfall.upload_tails')
    .values({ upload_id: id, storage_key: key, offset: 0, size: 1, etag: null, dropped_at: new Date() })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/**
 * Returns those of these tails that do not count and may be removed: a commit whose reply was lost may have recorded
 * some. Releases the lease first, so that no later commit can.
 */
export async function abandonTails(db: Ledger, upload: Fenced, keys: readonly string[]): Promise<string[]> {
  return await valuesOf<string>(db)`
    with ${releasedLease(upload)}
    update landfall.upload_tails set dropped_at = now()
     where upload_id = ${upload.id} and storage_key = any(${[...keys]}::text[]) and etag is null
    returning storage_key`
}

/** After this long an abandoned call to the bucket has arrived or never will. */
export const LATE_CALL_MS = 15 * 60_000

/** Uploads with objects to remove a second time, because the first removal was longer than `ageMs` ago. */
export async function uploadsToSweep(db: Ledger, ageMs: number, limit: number): Promise<UploadId[]> {
  return await valuesOf<UploadId>(db)`
    select upload_id as id from landfall.upload_tails
     where dropped_at < now() - make_interval(secs => ${ageMs / 1000})
    union
    select id from landfall.uploads
     where multipart_unsure and not ${isStoredOpen()} and updated_at < now() - make_interval(secs => ${ageMs / 1000})
    limit ${limit}`
}

/** A request that began with the last moment of a link may go on for so long. */
export const LATE_LINK_SECONDS = 24 * 3600

/**
 * Deletes the records of what was removed a second time. Those that links can still bring are removed again and again while
 * these are valid, and a last time when no request can be under way any more. Also deletes, long enough after the upload's end, the note of further
 * multipart uploads.
 */
export async function forgetDeletedTails(db: Ledger, id: UploadId, keys: readonly string[]): Promise<void> {
  await run(db)`
    with gone as (
      delete from landfall.upload_tails
       where upload_id = ${id} and storage_key = any(${[...keys]}::text[]) and dropped_at is not null
         and (late_until is null or late_until <= now())
    ), again as (
      update landfall.upload_tails
         set dropped_at = case when late_until - make_interval(secs => ${LATE_LINK_SECONDS}) > now() - make_interval(secs => ${LATE_CALL_MS / 1000})
                               then now() else late_until end
       where upload_id = ${id} and storage_key = any(${[...keys]}::text[]) and dropped_at is not null
         and late_until > now()
    )
    update landfall.uploads set multipart_unsure = false
     where id = ${id} and multipart_unsure and not ${isStoredOpen()}
       and updated_at < now() - make_interval(secs => ${LATE_CALL_MS / 1000})`
}

/** Notes, before one is opened, that multipart uploads may be open for the key of a received upload. */
export async function recordPossibleStrays(db: Ledger, id: UploadId): Promise<void> {
  await db
    .updateTable('landfall.uploads')
    .set({ multipart_unsure: true, updated_at: new Date() })
    .where('id', '=', id)
    .execute()
}

/** The multipart upload that assembles a received upload: all others for its key are strays. */
export async function recordAssembly(db: Ledger, id: UploadId, multipartId: string): Promise<void> {
  await db.updateTable('landfall.uploads').set({ multipart_id: multipartId }).where('id', '=', id).execute()
}

/** Deletes the part records of an ended upload whose bytes were removed. */
export async function forgetPartsOfEnded(db: Ledger, id: UploadId): Promise<void> {
  await run(db)`
    delete from landfall.upload_parts p using landfall.uploads u
     where p.upload_id = ${id} and u.id = p.upload_id and ${isStoredEnded('u')}`
}

/** Deletes the id of a multipart upload that was completed or aborted. */
export async function forgetMultipart(db: Ledger, id: UploadId): Promise<void> {
  await db.updateTable('landfall.uploads').set({ multipart_id: null }).where('id', '=', id).execute()
}

/** Everything that an upload may have in the bucket, in any state. */
export type UploadInBucket = {
  storageKey: string
  state: UploadState
  size: number | null
  offset: number
  partSize: number | null
  multipartId: string | null
  /** Other multipart uploads may be open for its key. */
  mayHaveStrays: boolean
  parts: PartRow[]
  tailKeys: string[]
  /** Removed once already, and due to be removed again. */
  droppedKeys: string[]
}

/** For the worker, which acts for no owner; undefined when there is no such upload. */
export async function uploadInBucket(db: Ledger, id: UploadId): Promise<UploadInBucket | undefined> {
  const upload = await db
    .selectFrom('landfall.uploads')
    .select(['storage_key', 'state', 'size', 'offset', 'part_size', 'multipart_id', 'multipart_unsure'])
    .where('id', '=', id)
    .executeTakeFirst()
  if (!upload) return undefined
  const parts = await db
    .selectFrom('landfall.upload_parts')
    .select(['part_number as partNumber', 'offset', 'size', 'etag'])
    .where('upload_id', '=', id)
    .orderBy('part_number')
    .execute()
  const tails = await db
    .selectFrom('landfall.upload_tails')
    .select(['storage_key', 'dropped_at'])
    .where('upload_id', '=', id)
    .execute()
  return {
    storageKey: upload.storage_key,
    state: upload.state,
    size: upload.size,
    offset: upload.offset,
    partSize: upload.part_size,
    multipartId: upload.multipart_id,
    mayHaveStrays: upload.multipart_unsure,
    parts,
    tailKeys: tails.filter((row) => row.dropped_at === null).map((row) => row.storage_key),
    droppedKeys: tails.filter((row) => row.dropped_at !== null).map((row) => row.storage_key),
  }
}
