import { sql } from 'kysely'
import type { Ledger } from './database.ts'
import { type ExpiryPolicy, extendedExpiry, isOpenNow, isStoredEnded, isStoredOpen } from './expiry.ts'
import type { OwnerId, UploadId } from './ids.ts'
import { type Fenced, lockedLease } from './lease-fragments.ts'
import { withOwnerShare } from './owner-share.ts'
import { firstRow, firstValue, hasRow, onlyValue, rowsOf, run } from './rows.ts'
import { LATE_LINK_SECONDS } from './stored-parts.ts'

// Direct uploads: their clients send the bytes to the bucket, by links. The ledger learns of them when they are complete.

/** For so long a link lets a client send bytes to the bucket. Longer ones would outlive what they are for. */
export const DIRECT_LINK_SECONDS = 3600
/** An empty one is known to be empty so long after its last links. */
export const DIRECT_EMPTY_SECONDS = DIRECT_LINK_SECONDS + 600
const FIRST_LOOK_SECONDS = 2
const LONGEST_SECONDS = 300
/** So long after the links of a form, and before the expiry of any other, the bucket is asked once more. */
const LAST_CALL_SECONDS = 5
/** What a form has put is processed within this time, whenever it is found. */
const FOUND_SECONDS = 3600
/** So long a form is not expired although the bucket does not say whether it has the file. */
const UNSEEN_SECONDS = 24 * 3600

const seconds = (count: number) => sql`make_interval(secs => ${count})`

/** Of a row `d` and its upload `due`: after a quarter of its age, but not later than when that may be the last time. */
const nextLook = sql`(
  with regular as (
    select now() + least(greatest((now() - d.created_at) / 4, ${seconds(FIRST_LOOK_SECONDS)}),
                         ${seconds(LONGEST_SECONDS)}) as at
  ), last_call as (
    select case when d.form_key is null then due.expires_at - ${seconds(LAST_CALL_SECONDS)}
                else d.links_until + ${seconds(LAST_CALL_SECONDS)} end as at
  )
  select case when last_call.at > now() then least(regular.at, last_call.at) else regular.at end
    from regular, last_call
)`

type NewDirect = Fenced & {
  /** Of the object that a form may put, which is removed again after all of its links; null for an upload in parts. */
  form: { key: string; maxBytes: number } | null
  /** Seconds for which its first links are. */
  linkSeconds: number
}

/** Notes what a client will be permitted to store, before it is. Returns false when the lease was lost. */
export async function beginDirect(db: Ledger, { form, linkSeconds, ...upload }: NewDirect): Promise<boolean> {
  const key = form?.key ?? null
  return await hasRow(db)`
    with ${lockedLease(upload)}, held as (
      select u.id from landfall.uploads u join lease on lease.upload_id = u.id where ${isOpenNow} for update of u
    ), form as (
      insert into landfall.upload_tails (upload_id, storage_key, "offset", size, late_until)
      select id, ${key}, 0, ${Math.max(1, form?.maxBytes ?? 1)}::bigint, now() + ${seconds(linkSeconds + LATE_LINK_SECONDS)}
        from held where ${key}::text is not null
    )
    insert into landfall.direct_uploads (upload_id, owner_id, form_key, links_until, look_at)
    select held.id, u.owner_id, ${key}, now() + ${seconds(linkSeconds)},
           now() + least(${seconds(FIRST_LOOK_SECONDS)}, (u.expires_at - now()) / 2)
      from held join landfall.uploads u using (id)
    returning upload_id`
}

/**
 * The most bytes that forms of an owner can still bring though their uploads have ended without a file, and hold no quota.
 * Those of received ones are removed as often as they bring something.
 */
export async function bytesOfEndedForms(db: Ledger, ownerId: OwnerId): Promise<number> {
  return await onlyValue<number>(withOwnerShare(db, ownerId))`
    select coalesce(sum(t.size), 0)::float8 as bytes
      from landfall.upload_tails t join landfall.uploads u on u.id = t.upload_id
     where t.late_until > now() + ${seconds(LATE_LINK_SECONDS)} and u.owner_id = ${ownerId} and ${isStoredEnded('u')}`
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
 * Extends an open direct upload in parts, for which links are given, as bytes extend others.
 * Returns the seconds until it expires; undefined where it is not open.
 */
export async function extendDirect(
  db: Ledger,
  ownerId: OwnerId,
  id: UploadId,
  expiry: ExpiryPolicy,
): Promise<number | undefined> {
  return await firstValue<number>(withOwnerShare(db, ownerId))`
    with extended as (
      update landfall.uploads set updated_at = now(), expires_at = ${extendedExpiry(expiry)}
       where id = ${id} and owner_id = ${ownerId} and protocol = 'direct' and ${isOpenNow}
      returning id, expires_at
    ), linked as (
      update landfall.direct_uploads d set links_until = now() + ${seconds(DIRECT_LINK_SECONDS)}
        from extended where d.upload_id = extended.id
    )
    select extract(epoch from expires_at - now())::float8 as seconds from extended`
}

type Copy = Fenced & { key: string }

const held = (upload: Fenced) => sql`${lockedLease(upload)}, held as (
    select u.id, u.storage_key from landfall.uploads u join lease on lease.upload_id = u.id
     where ${isStoredOpen('u')} for update of u
  )`

/**
 * Notes the key of a copy before it is made. Returns the keys of those before, which are to be removed: attempts that were
 * given up made them. Undefined when the lease was lost: then the copy must not be made.
 */
export async function recordCopy(db: Ledger, copy: Copy): Promise<string[] | undefined> {
  const row = await firstRow<{ givenUp: string[] }>(db)`
    with ${held(copy)}, given_up as (
      update landfall.upload_tails t set dropped_at = now() from held
       where t.upload_id = held.id and t.late_until is null and t.dropped_at is null and t.etag is null
      returning t.storage_key
    ), recorded as (
      insert into landfall.upload_tails (upload_id, storage_key, "offset", size)
      select id, ${copy.key}, 0, 1 from held returning upload_id
    )
    select (select coalesce(array_agg(storage_key), '{}') from given_up) as "givenUp" from recorded`
  return row?.givenUp
}

/** Makes a copy the file of its upload; what that was before is removed. Returns false when the lease was lost. */
export async function adoptCopy(db: Ledger, copy: Copy): Promise<boolean> {
  return await hasRow(db)`
    with ${held(copy)}, kept as (
      delete from landfall.upload_tails t using held where t.upload_id = held.id and t.storage_key = ${copy.key}
    ), given_up as (
      insert into landfall.upload_tails (upload_id, storage_key, "offset", size)
      select id, storage_key, 0, 1 from held on conflict do nothing
    )
    update landfall.uploads u set storage_key = ${copy.key} from held where u.id = held.id returning u.id`
}

/**
 * Whether an upload `uploads` is a direct one of which the bucket has nothing, as was seen after all of its links were over.
 * Others may have bytes there that nobody told us of.
 */
export const isEmptyDirect = sql<boolean>`exists (
  select from landfall.direct_uploads d where d.upload_id = id and d.empty_at > d.links_until
)`

/** Whether an upload `uploads` is one by a form that may have put its file in time, as nobody has looked since. */
export const isUnseenForm = sql<boolean>`exists (
  select from landfall.direct_uploads d
   where d.upload_id = id and d.form_key is not null and coalesce(d.empty_at <= d.links_until, true)
     and d.links_until > now() - ${seconds(UNSEEN_SECONDS)}
)`

/** Notes that the bucket had nothing of a direct upload when it was asked at `askedAt`. */
export async function noteEmpty(db: Ledger, id: UploadId, askedAt: Date): Promise<void> {
  await run(db)`
    update landfall.direct_uploads set empty_at = greatest(empty_at, ${askedAt}::timestamptz) where upload_id = ${id}`
}

/** Notes that the bucket has the file of a form: it does not expire before it is complete. */
export async function noteFound(db: Ledger, id: UploadId): Promise<void> {
  await run(db)`
    update landfall.uploads set expires_at = greatest(expires_at, now() + ${seconds(FOUND_SECONDS)})
     where id = ${id} and ${isStoredOpen()}
       and exists (select from landfall.direct_uploads d where d.upload_id = id and d.form_key is not null)`
}

export type DueLook = {
  id: UploadId
  ownerId: OwnerId
  formKey: string | null
  /** Not later than the question, by the clock of the database. */
  askedAt: Date
}

/**
 * Direct uploads for which the bucket is to be asked now: nobody tells us what a client has stored there. At most `limit`,
 * of owners that are drawn by lot, one of each, so that one with many holds up no other; none of those `busy`, and none
 * that has a lease. Each is due again after a quarter of its age, so that a short upload is noticed soon and a forgotten one
 * costs little. Those that have ended are forgotten.
 */
export async function dueLooks(db: Ledger, limit: number, busy: readonly OwnerId[]): Promise<DueLook[]> {
  return await rowsOf<DueLook>(db)`
    with known as (
      -- Begun by a server of an earlier release. They are due when they are looked for the next time.
      update landfall.direct_uploads d
         set owner_id = u.owner_id, links_until = u.updated_at + ${seconds(DIRECT_LINK_SECONDS)}
        from landfall.uploads u where u.id = d.upload_id and d.owner_id is null
    ), owners as materialized (
      select owner_id from (
        select distinct owner_id from landfall.direct_uploads
         where look_at <= now() and owner_id <> all(${[...busy]}::text[])
      ) waiting order by random() limit ${limit}
    ), turns as materialized (
      select turn.upload_id from owners cross join lateral (
        select d.upload_id from landfall.direct_uploads d
         where d.owner_id = owners.owner_id and d.look_at <= now()
           and not exists (
             select from landfall.upload_locks l where l.upload_id = d.upload_id and l.expires_at > now()
           )
         order by d.look_at limit 1
      ) turn
    ), due as materialized (
      select d.upload_id, u.state, u.expires_at,
             u.expires_at > now()
             or (d.form_key is not null and d.links_until > now() - ${seconds(UNSEEN_SECONDS)}) as is_live
        from landfall.direct_uploads d join turns using (upload_id) join landfall.uploads u on u.id = d.upload_id
         for update of d skip locked
    ), over as (
      delete from landfall.direct_uploads d using due where d.upload_id = due.upload_id and due.state <> 'open'
    ), open as (
      update landfall.direct_uploads d set look_at = ${nextLook}
        from due where d.upload_id = due.upload_id and due.state = 'open'
      returning d.upload_id as id, d.owner_id as "ownerId", d.form_key as "formKey", due.is_live
    )
    select id, "ownerId", "formKey", now() as "askedAt" from open where is_live`
}

/** Milliseconds until the next look, or undefined where there is nothing to look for. */
export async function msUntilLook(db: Ledger): Promise<number | undefined> {
  const ms = await firstValue<number | null>(db)`
    select (extract(epoch from min(look_at) - now()) * 1000)::float8 as ms from landfall.direct_uploads`
  return ms === null || ms === undefined ? undefined : Math.max(0, ms)
}
