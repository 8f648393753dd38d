import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import { takeTurns } from './concatenation.ts'
import type { Ledger, LedgerTransaction } from './database.ts'
import type { EnqueueRemovals } from './due-work.ts'
import { logEvents, uploadEvent } from './event-log.ts'
import { isStoredUnended } from './expiry.ts'
import type { UploadId } from './ids.ts'
import {
  countErased,
  type ErasureWaits,
  isErased,
  lockRows,
  type RunningErasure,
  type WaitReason,
} from './owner-erasures.ts'
import { withOwnerLock } from './owner-share.ts'
import { purgeLocked } from './purging.ts'
import { release } from './quotas.ts'
import { changedRows, onlyRow, rowsOf, run, valuesOf } from './rows.ts'

// What an erasure does, page by page, each page one transaction: first all uploads of the owner are ended and their media
// items purged, then the rows of those are deleted whose bytes are gone. A page that was done is not found again, so that
// the work can end anywhere and be begun anew.

type Page = { after: string; limit: number }

export type EndedPage = {
  ended: UploadId[]
  purged: UploadId[]
  /** A request writes to these. It is to be asked to stop; no other can follow it. */
  held: UploadId[]
  /** Where the search continues; undefined at its end. */
  next: string | undefined
}

/** The lease of an upload that is being ended is held for no longer than its transaction. */
const LEASE_SECONDS = 60

/**
 * Ends a page of the owner's uploads: open ones are terminated, unless a request holds the lease, media items are purged,
 * and the removal of the bytes is enqueued, also of those whose removal was given up. They are part of the erasure then.
 */
export async function endUploads(
  db: Ledger,
  erasure: RunningErasure,
  { after, limit }: Page,
  { removalQueue, enqueue }: { removalQueue: string; enqueue: EnqueueRemovals },
): Promise<EndedPage> {
  return await withOwnerLock(db, erasure.owner_id, async (trx) => {
    await takeTurns(trx, erasure.owner_id)
    const ids = await valuesOf<UploadId>(trx)`
      select id from landfall.uploads u
       where ${isErased(erasure)} and erasure_id is null and id > ${after} order by id limit ${limit}`
    const next = ids.length < limit ? undefined : ids.at(-1)
    if (ids.length === 0) return { ended: [], purged: [], held: [], next }
    // Media items, leases, uploads: the order of everybody who locks them.
    await lockRows(trx, 'landfall.media', 'upload_id', ids)
    const fence = randomUUID()
    const leases = await takeLeases(trx, ids, fence)
    const held = leases.filter(({ taken }) => !taken).map(({ id }) => id)
    const free = ids.filter((id) => !held.includes(id))
    // No other request goes on with these: they have expired for all but the one that writes now.
    await run(trx)`
      update landfall.uploads set expires_at = now() where id = any(${held}::text[]) and expires_at > now()`
    await lockRows(trx, 'landfall.uploads', 'id', free)
    const ended = await terminate(trx, free)
    await run(
      trx,
    )`delete from landfall.upload_locks where fence = ${fence}::uuid and upload_id = any(${free}::text[])`
    const amounts = await amountsOf(trx, free, ended)
    const purged = (await purgeLocked(trx, free)).map(({ uploadId }) => uploadId)
    // Those that were completed since their media items were locked come with the next search.
    const marked = await valuesOf<UploadId>(trx)`
      update landfall.uploads u set erasure_id = ${erasure.id}
       where id = any(${free}::text[]) and not ${isStoredUnended('u')}
         and not exists (select from landfall.media m where m.upload_id = u.id and m.purged_at is null)
      returning id`
    const failed = await valuesOf<UploadId>(trx)`
      select distinct data ->> 'uploadId' as id from pgboss.job
       where name = ${removalQueue} and state > 'completed' and data ->> 'uploadId' = any(${marked}::text[])`
    await enqueue(trx, [...new Set([...ended, ...purged, ...failed])])
    await countErased(trx, erasure.id, {
      uploadsEnded: ended.length,
      mediaPurged: purged.length,
      ...amounts,
    })
    return { ended, purged, held, next }
  })
}

/**
 * Takes the leases of those of these uploads that have not ended, in the transaction that ends them: no request can write
 * from then on. One that holds a lease is asked to release it.
 */
const takeLeases = (trx: LedgerTransaction, ids: readonly UploadId[], fence: string) =>
  rowsOf<{ id: UploadId; taken: boolean }>(trx)`
    insert into landfall.upload_locks as held (upload_id, holder, fence, expires_at)
    select id, 'erasure', ${fence}::uuid, now() + make_interval(secs => ${LEASE_SECONDS}) from landfall.uploads
     where id = any(${ids}::text[]) and ${isStoredUnended()} order by id
    on conflict (upload_id) do update set
      holder     = case when held.expires_at <= now() then excluded.holder else held.holder end,
      fence      = case when held.expires_at <= now() then excluded.fence else held.fence end,
      contended  = held.expires_at > now(),
      expires_at = case when held.expires_at <= now() then excluded.expires_at else held.expires_at end
    returning upload_id as id, fence = ${fence}::uuid as taken`

/** As `terminateUpload` does with one. */
const terminate = (trx: LedgerTransaction, ids: readonly UploadId[]) =>
  valuesOf<UploadId>(trx)`
    with ended as (
      update landfall.uploads set state = 'terminated', updated_at = now()
       where id = any(${ids}::text[]) and ${isStoredUnended()}
      returning *
    ), freed as (
      ${release('ended', sql`received_at is null`)}
    ), ${logEvents(uploadEvent('ended', 'upload.terminated'))}
    select id from ended`

/** Bytes and objects of what is about to be given up. */
const amountsOf = (trx: LedgerTransaction, ids: readonly UploadId[], ended: readonly UploadId[]) =>
  onlyRow<{ bytes: number; objects: number }>(trx)`
    select coalesce(sum(bytes), 0)::bigint as bytes, coalesce(sum(objects), 0)::bigint as objects from (
      select m.size as bytes, 1 + (select count(*) from landfall.renditions r where r.media_id = m.id) as objects
        from landfall.media m
       where m.upload_id = any(${ids}::text[]) and m.purged_at is null and m.status <> 'rejected'
      union all
      select "offset", 1 from landfall.uploads where id = any(${ended}::text[]) and "offset" > 0
    ) given_up`

export type ForgottenPage = {
  forgotten: number
  waits: ErasureWaits
  /** Where the search continues; undefined at its end. */
  next: string | undefined
}

/**
 * Deletes the rows of a page of ended uploads whose bytes are gone. `dropsDeliveries`: also where a webhook was not told
 * of it yet, unless it is being told now.
 */
export async function forgetUploads(
  db: Ledger,
  erasure: RunningErasure,
  { after, limit }: Page,
  { removalQueue, dropsDeliveries }: { removalQueue: string; dropsDeliveries: boolean },
): Promise<ForgottenPage> {
  const { id: erasureId, owner_id: ownerId } = erasure
  return await withOwnerLock(db, ownerId, async (trx) => {
    const page = await rowsOf<{ id: UploadId; waits_for: WaitReason | null }>(trx)`
      select u.id, case
          when ${isInStorage(removalQueue)} then 'storage'
          when ${mayArriveLate} then 'lateCalls'
          when ${isToBeTold(dropsDeliveries)} then 'webhooks'
        end as waits_for
        from landfall.uploads u
       where u.owner_id = ${ownerId} and u.erasure_id = ${erasureId} and u.id > ${after} order by u.id limit ${limit}`
    const waits: ErasureWaits = {}
    for (const { waits_for: reason } of page) if (reason) waits[reason] = (waits[reason] ?? 0) + 1
    const ids = page.filter((row) => row.waits_for === null).map(({ id }) => id)
    if (ids.length > 0) await countErased(trx, erasureId, await deleteRows(trx, erasure, ids))
    return { forgotten: ids.length, waits, next: page.length < limit ? undefined : page.at(-1)?.id }
  })
}

/** Its removal was not done yet. A media item's renditions are forgotten when they are removed. */
const isInStorage = (removalQueue: string) => sql<boolean>`(
  u.multipart_id is not null
  or u.id in (select data ->> 'uploadId' from pgboss.job where name = ${removalQueue} and state < 'completed')
  or exists (select from landfall.media m join landfall.renditions r on r.media_id = m.id where m.upload_id = u.id)
  or exists (select from landfall.upload_concat c where c.final_id = u.id or c.partial_id = u.id)
  or exists (select from landfall.stray_copies s where s.upload_id = u.id)
)`

const mayArriveLate = sql<boolean>`(
  u.multipart_unsure or exists (select from landfall.upload_tails t where t.upload_id = u.id)
)`

/** By the few endpoints, as the index of waiting deliveries begins with them. */
const isToBeTold = (dropsDeliveries: boolean) => sql<boolean>`exists (
  select from landfall.webhook_endpoints e join landfall.webhook_deliveries d on d.endpoint_id = e.id
   where d.upload_id = u.id and d.status = 'pending'
     and ((e.disabled_at is null and not ${dropsDeliveries}::boolean)
          or (d.lease is not null and d.next_attempt_at > now()))
)`

/** Deletes everything that the ledger has of these uploads. */
async function deleteRows(
  trx: LedgerTransaction,
  { owner_id: ownerId }: RunningErasure,
  ids: readonly UploadId[],
) {
  const mediaIds = (await lockRows(trx, 'landfall.media', 'upload_id', ids)).map(({ id }) => id)
  await lockRows(trx, 'landfall.uploads', 'id', ids)
  const isOfThem = sql`upload_id = any(${ids}::text[])`
  const isOfItems = sql`media_id = any(${mediaIds}::text[])`
  const deliveries = await valuesOf<string>(trx)`
    delete from landfall.webhook_deliveries d using landfall.events e
     where e.upload_id = any(${ids}::text[]) and d.event_id = e.id returning d.status`
  const events = await changedRows(trx)`delete from landfall.events where ${isOfThem}`
  await run(trx)`delete from landfall.processing_steps where ${isOfItems}`
  // Of files that were uploaded since.
  await run(trx)`
    update landfall.media set duplicate_of = null
     where owner_id = ${ownerId} and sha256 is not null and duplicate_of = any(${mediaIds}::text[])`
  await run(trx)`delete from landfall.media where id = any(${mediaIds}::text[])`
  for (const table of ['upload_parts', 'upload_locks'])
    await run(trx)`delete from ${sql.id('landfall', table)} where ${isOfThem}`
  await run(trx)`delete from landfall.uploads where id = any(${ids}::text[])`
  // Jobs that are done are kept for a while.
  await run(trx)`
    delete from pgboss.job
     where state >= 'completed'
       and (data ->> 'uploadId' = any(${ids}::text[]) or data ->> 'mediaId' = any(${mediaIds}::text[]))`
  return {
    uploads: ids.length,
    media: mediaIds.length,
    events,
    deliveries: deliveries.length,
    deliveriesDropped: deliveries.filter((status) => status === 'pending').length,
  }
}

/** Deletes at most `limit` upload tickets of the owner, those that were given before the erasure. Returns how many. */
export async function forgetTickets(db: Ledger, erasure: RunningErasure, limit: number): Promise<number> {
  return await withOwnerLock(db, erasure.owner_id, async (trx) => {
    const tickets = await changedRows(trx)`
      delete from landfall.upload_tickets where id in (
        select id from landfall.upload_tickets
         where owner_id = ${erasure.owner_id} and created_at <= ${erasure.started_at} order by id limit ${limit}
      )`
    await countErased(trx, erasure.id, { tickets })
    return tickets
  })
}

/**
 * Deletes at most `limit` events, with their deliveries, of uploads that are gone: those whose own rows were pruned before
 * their history. Returns how many.
 */
export async function forgetHistory(db: Ledger, erasure: RunningErasure, limit: number): Promise<number> {
  return await withOwnerLock(db, erasure.owner_id, async (trx) => {
    const ids = await valuesOf<number>(trx)`
      select id from landfall.events e
       where owner_id = ${erasure.owner_id}
         and not exists (select from landfall.uploads u where u.id = e.upload_id)
       order by id limit ${limit}`
    const deliveries = await changedRows(trx)`
      delete from landfall.webhook_deliveries where event_id = any(${ids}::bigint[])`
    const events = await changedRows(trx)`delete from landfall.events where id = any(${ids}::bigint[])`
    await countErased(trx, erasure.id, { events, deliveries })
    return events
  })
}

/** Deletes jobs of the owner's media items that are gone. Returns whether one is still running. */
export async function forgetJobs(db: Ledger, { owner_id: ownerId }: RunningErasure): Promise<boolean> {
  const groups = [`short:${ownerId}`, `long:${ownerId}`]
  const isOrphan = sql`group_id = any(${groups}::text[])
    and not exists (select from landfall.media m where m.id = data ->> 'mediaId')`
  await run(db)`delete from pgboss.job where ${isOrphan} and state <> 'active'`
  const left = await rowsOf(db)`select 1 from pgboss.job where ${isOrphan} limit 1`
  return left.length > 0
}
