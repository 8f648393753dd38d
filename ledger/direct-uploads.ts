import { sql } from 'kysely'
import type { Ledger } from './database.ts'
import { type ExpiryPolicy, extendedExpiry, isOpenNow } from './expiry.ts'
import type { OwnerId, UploadId } from './ids.ts'
import { type Fenced, lockedLease } from './lease-fragments.ts'
import { withOwnerShare } from './owner-share.ts'
import { firstRow, firstValue, hasRow, rowsOf } from './rows.ts'

// Direct uploads: their clients send the bytes to the bucket, by links. The ledger learns of them when they are complete.

/** For so long a link lets a client send bytes to the bucket. Longer ones would outlive what they are for. */
export const DIRECT_LINK_SECONDS = 3600
/** A request that began with the last moment of a link may go on for so long. */
const LATE_SECONDS = 24 * 3600

/**
 * Notes what a client will be permitted to store, before it is. `formKey`: of the object that a form may put, which is
 * removed again after all of its links. Returns false when the lease was lost.
 */
export async function beginDirect(db: Ledger, upload: Fenced & { formKey: string | null }): Promise<boolean> {
  return await hasRow(db)`
    with ${lockedLease(upload)}, held as (
      select u.id from landfall.uploads u join lease on lease.upload_id = u.id where ${isOpenNow} for update of u
    ), form as (
      insert into landfall.upload_tails (upload_id, storage_key, "offset", size, late_until)
      select id, ${upload.formKey}, 0, 1, now() + make_interval(secs => ${DIRECT_LINK_SECONDS + LATE_SECONDS})
        from held where ${upload.formKey}::text is not null
    )
    insert into landfall.direct_uploads (upload_id, form_key, look_at)
    select id, ${upload.formKey}, now() + make_interval(secs => ${FIRST_LOOK_SECONDS}) from held
    returning upload_id`
}

/** Where the form of a direct upload puts the file; null for one in parts. Undefined for any other upload. */
export async function directUpload(
  db: Ledger,
  ownerId: OwnerId,
  id: UploadId,
): Promise<{ formKey: string | null } | undefined> {
  return await firstRow<{ formKey: string | null }>(withOwnerShare(db, ownerId))`
    select d.form_key as "formKey" from landfall.direct_uploads d join landfall.uploads u on u.id = d.upload_id
     where u.id = ${id} and u.owner_id = ${ownerId}`
}

/** Extends an open direct upload, for which links are given, as bytes extend others. Returns its expiry, or undefined. */
export async function extendDirect(
  db: Ledger,
  ownerId: OwnerId,
  id: UploadId,
  expiry: ExpiryPolicy,
): Promise<Date | undefined> {
  return await firstValue<Date>(withOwnerShare(db, ownerId))`
    update landfall.uploads set updated_at = now(), expires_at = ${extendedExpiry(expiry)}
     where id = ${id} and owner_id = ${ownerId} and protocol = 'direct' and ${isOpenNow}
    returning expires_at`
}

const FIRST_LOOK_SECONDS = 2
const LAST_LOOK_SECONDS = 300

export type DueLook = { id: UploadId; ownerId: OwnerId; formKey: string | null }

/**
 * Direct uploads for which the bucket is to be asked now, at most `limit`: nobody tells us what a client has stored there.
 * Each is due again after a quarter of its age, so that a short upload is noticed soon and a forgotten one costs little.
 * Those that have ended are forgotten.
 */
export async function dueLooks(db: Ledger, limit: number): Promise<DueLook[]> {
  return await rowsOf<DueLook>(db)`
    with due as (
      select d.upload_id, u.owner_id, u.state, u.expires_at > now() as is_live
        from landfall.direct_uploads d join landfall.uploads u on u.id = d.upload_id
       where d.look_at <= now() order by d.look_at limit ${limit} for update of d skip locked
    ), over as (
      delete from landfall.direct_uploads d using due where d.upload_id = due.upload_id and due.state <> 'open'
    ), open as (
      update landfall.direct_uploads d
         set look_at = now() + least(greatest((now() - d.created_at) / 4, ${seconds(FIRST_LOOK_SECONDS)}),
                                     ${seconds(LAST_LOOK_SECONDS)})
        from due where d.upload_id = due.upload_id and due.state = 'open'
      returning d.upload_id as id, due.owner_id as "ownerId", d.form_key as "formKey", due.is_live
    )
    select id, "ownerId", "formKey" from open where is_live`
}

const seconds = (count: number) => sql`make_interval(secs => ${count})`

/** Milliseconds until the next look, or undefined where there is nothing to look for. */
export async function msUntilLook(db: Ledger): Promise<number | undefined> {
  const ms = await firstValue<number | null>(db)`
    select (extract(epoch from min(look_at) - now()) * 1000)::float8 as ms from landfall.direct_uploads`
  return ms === null || ms === undefined ? undefined : Math.max(0, ms)
}
