import { sql } from 'kysely'
import type { Ledger } from './database.ts'
import { type ExpiryPolicy, extendedExpiry, isOpenNow, isStoredOpen } from './expiry.ts'
import type { OwnerId, UploadId } from './ids.ts'
import { type Fenced, lockedLease } from './lease-fragments.ts'
import { withOwnerShare } from './owner-share.ts'
import { firstRow, firstValue, hasRow, rowsOf, run } from './rows.ts'

// Direct uploads: their clients send the bytes to the bucket, by links. The ledger learns of them when they are complete.

/** For so long a link lets a client send bytes to the bucket. Longer ones would outlive what they are for. */
export const DIRECT_LINK_SECONDS = 3600
/** So long after its last links an empty one is known to be empty. */
export const DIRECT_EMPTY_SECONDS = DIRECT_LINK_SECONDS + 600
/** A request that began with the last moment of a link may go on for so long. */
const LATE_SECONDS = 24 * 3600

const FIRST_LOOK_SECONDS = 2
const LONGEST_SECONDS = 300
/** So long before it expires, the bucket is asked once more. */
const LAST_CALL_SECONDS = 5

const seconds = (count: number) => sql`make_interval(secs => ${count})`
/** Of a row `d`. */
const nextLook = sql`now() + least(greatest((now() - d.created_at) / 4, ${seconds(FIRST_LOOK_SECONDS)}), ${seconds(LONGEST_SECONDS)})`

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
    select held.id, ${upload.formKey}, now() + least(${seconds(FIRST_LOOK_SECONDS)}, (u.expires_at - now()) / 2)
      from held join landfall.uploads u using (id)
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

/**
 * Extends an open direct upload, for which links are given, as bytes extend others. Returns the seconds until it expires;
 * undefined where it is not open.
 */
export async function extendDirect(
  db: Ledger,
  ownerId: OwnerId,
  id: UploadId,
  expiry: ExpiryPolicy,
): Promise<number | undefined> {
  return await firstValue<number>(withOwnerShare(db, ownerId))`
    update landfall.uploads set updated_at = now(), expires_at = ${extendedExpiry(expiry)}
     where id = ${id} and owner_id = ${ownerId} and protocol = 'direct' and ${isOpenNow}
    returning extract(epoch from expires_at - now())::float8`
}

type Copy = Fenced & { key: string }

const held = (upload: Fenced) => sql`${lockedLease(upload)}, held as (
    select u.id from landfall.uploads u join lease on lease.upload_id = u.id
     where ${isStoredOpen('u')} for update of u
  )`

/** Notes the key of a copy before it is made. Returns false when the lease was lost: then it must not be made. */
export async function recordCopy(db: Ledger, copy: Copy): Promise<boolean> {
  return await hasRow(db)`
    with ${held(copy)}
    insert into landfall.upload_tails (upload_id, storage_key, "offset", size)
    select id, ${copy.key}, 0, 1 from held returning upload_id`
}

/** Makes a copy the file of its upload, and the `former` copy no more than a rest. Returns false when the lease was lost. */
export async function adoptCopy(db: Ledger, copy: Copy & { former: string | null }): Promise<boolean> {
  return await hasRow(db)`
    with ${held(copy)}, kept as (
      delete from landfall.upload_tails t using held where t.upload_id = held.id and t.storage_key = ${copy.key}
    ), given_up as (
      insert into landfall.upload_tails (upload_id, storage_key, "offset", size)
      select id, ${copy.former}, 0, 1 from held where ${copy.former}::text is not null on conflict do nothing
    )
    update landfall.uploads u set storage_key = ${copy.key} from held where u.id = held.id returning u.id`
}

/**
 * Whether an upload `uploads` is a direct one of which the bucket has nothing, as was seen after all of its links were over.
 * Others may have bytes there that nobody told us of.
 */
export const isEmptyDirect = sql<boolean>`exists (
  select from landfall.direct_uploads d
   where d.upload_id = id and d.empty_at > updated_at + make_interval(secs => ${DIRECT_LINK_SECONDS})
)`

/** Notes that the bucket has nothing of a direct upload. */
export async function noteEmpty(db: Ledger, id: UploadId): Promise<void> {
  await run(db)`update landfall.direct_uploads set empty_at = now() where upload_id = ${id}`
}

export type DueLook = { id: UploadId; ownerId: OwnerId; formKey: string | null }

/** Due ones that are looked through for the owners whose turn it is. */
const CONSIDERED = 200

/**
 * Direct uploads for which the bucket is to be asked now, at most `limit`, one of each owner, and none of those `busy`:
 * nobody tells us what a client has stored there. Each is due again after a quarter of its age, so that a short upload is
 * noticed soon and a forgotten one costs little, and a last time before it expires. Those that have ended are forgotten.
 */
export async function dueLooks(db: Ledger, limit: number, busy: readonly OwnerId[]): Promise<DueLook[]> {
  return await rowsOf<DueLook>(db)`
    with first as materialized (
      select d.upload_id, d.look_at, u.owner_id
        from landfall.direct_uploads d join landfall.uploads u on u.id = d.upload_id
       where d.look_at <= now() and u.owner_id <> all(${[...busy]}::text[]) order by d.look_at limit ${CONSIDERED}
    ), turns as materialized (
      select distinct on (owner_id) upload_id from first order by owner_id, look_at
    ), due as materialized (
      select d.upload_id, u.owner_id, u.state, u.expires_at
        from landfall.direct_uploads d join turns using (upload_id) join landfall.uploads u on u.id = d.upload_id
       where d.look_at <= now() order by d.look_at limit ${limit} for update of d skip locked
    ), over as (
      delete from landfall.direct_uploads d using due where d.upload_id = due.upload_id and due.state <> 'open'
    ), open as (
      update landfall.direct_uploads d
         set look_at = case when due.expires_at - ${seconds(LAST_CALL_SECONDS)} > now()
                            then least(${nextLook}, due.expires_at - ${seconds(LAST_CALL_SECONDS)})
                            else ${nextLook} end
        from due where d.upload_id = due.upload_id and due.state = 'open'
      returning d.upload_id as id, due.owner_id as "ownerId", d.form_key as "formKey",
                due.expires_at > now() as is_live
    )
    select id, "ownerId", "formKey" from open where is_live`
}

/** Milliseconds until the next look, or undefined where there is nothing to look for. */
export async function msUntilLook(db: Ledger): Promise<number | undefined> {
  const ms = await firstValue<number | null>(db)`
    select (extract(epoch from min(look_at) - now()) * 1000)::float8 as ms from landfall.direct_uploads`
  return ms === null || ms === undefined ? undefined : Math.max(0, ms)
}
