import { type RawBuilder, sql } from 'kysely'
import type { Ledger, LedgerTransaction } from './database.ts'
import { DIRECT_EMPTY_SECONDS, isEmptyDirect, isUnseenForm } from './direct-uploads.ts'
import type { DueMedia, EnqueueProcessing, EnqueueRemoval } from './due-work.ts'
import { logEvents, uploadEvent } from './event-log.ts'
import { isExpired, isStoredOpen, isStoredUnended, isUnmarked } from './expiry.ts'
import type { OwnerId, UploadId } from './ids.ts'
import { withOwnerLock, withOwnerShare } from './owner-share.ts'
import { turnClock } from './processing-turns.ts'
import { release } from './quotas.ts'
import { changedRows, onlyValue, rowsOf, valuesOf } from './rows.ts'

// Expiry and clean-up, from rows of the ledger in batches, so that no transaction grows with the backlog; several
// reapers share the work.

/** A page of due rows, and where the search continues. */
export type DuePage<Id> = { ids: Id[]; next: { at: string; id: string } | undefined }

type DueRow<Id> = { id: Id; at: string }

/** From rows in the order of the search. */
export function pageOf<Id extends string>(rows: readonly DueRow<Id>[], limit: number): DuePage<Id> {
  const last = rows.length < limit ? undefined : rows.at(-1)
  return { ids: rows.map(({ id }) => id), next: last }
}

/**
 * `reap_after` of an upload is when it would expire without further appends. Moves it to the current expiry, for at
 * most `limit` uploads that had appends. Returns how many.
 */
export async function postponeReaping(db: Ledger, limit: number): Promise<number> {
  return await changedRows(db)`
    with moved as (
      select id from landfall.uploads
       where ${isStoredUnended()} and reap_after <= now() and expires_at > now()
       order by reap_after limit ${limit} for update skip locked
    )
    update landfall.uploads set reap_after = expires_at from moved where uploads.id = moved.id`
}

/** The upload `u` has no lease. */
const isFree = sql<boolean>`not exists (
  select 1 from landfall.upload_locks l where l.upload_id = u.id and l.expires_at > now()
)`

/**
 * A page of `limit` expired uploads that are not marked yet. Those with a lease are left until it is free; no new
 * request can take one.
 */
export async function expiredUploads(
  db: Ledger,
  limit: number,
  after: DuePage<UploadId>['next'],
): Promise<DuePage<UploadId>> {
  const rows = await rowsOf<DueRow<UploadId>>(db)`
    select id, reap_after::text as at from landfall.uploads u
     where ${isStoredUnended()} and reap_after <= now() and ${isExpired} and ${isFree} and not ${isUnseenForm}
       and (reap_after, id) > (${after?.at ?? '-infinity'}::timestamptz, ${after?.id ?? ''})
     order by reap_after, id limit ${limit}`
  return pageOf(rows, limit)
}

/**
 * Ends those of these uploads that have expired: state `expired`, quota released, event written, removal of the bytes
 * enqueued. Partial ones that a final has used hold no quota and have no event. Returns those it ended.
 */
export async function expireUploads(
  db: Ledger,
  ids: readonly UploadId[],
  enqueueRemoval: EnqueueRemoval,
): Promise<UploadId[]> {
  const isDue = sql`id = any(${ids}::text[]) and ${isStoredUnended()} and ${isExpired} and not ${isUnseenForm}`
  return await db.transaction().execute((trx) => expireThose(trx, isDue, ids.length, enqueueRemoval))
}

/** An empty upload that was idle for this long may be ended in favour of a new one of its owner. */
const IDLE_SECONDS = 300
/** When it is idle at the latest, if it stays empty. */
const idleAt = sql`updated_at + make_interval(secs => case when protocol = 'direct'
                                                   then ${DIRECT_EMPTY_SECONDS} else ${IDLE_SECONDS}::float8 end)`

const isIdle = sql<boolean>`(
  "offset" = 0 and (concat is null or is_partial) and updated_at <= now() - make_interval(secs => ${IDLE_SECONDS})
  and (protocol <> 'direct' or ${isEmptyDirect})
)`

/**
 * Ends the expired uploads of an owner that are not marked yet, when a new one exceeds the quota. Returns those it
 * ended.
 */
export async function expireOfOwner(
  db: Ledger,
  ownerId: OwnerId,
  enqueueRemoval: EnqueueRemoval,
): Promise<UploadId[]> {
  const isDue = sql`owner_id = ${ownerId} and ${isUnmarked} and not ${isUnseenForm}`
  return await withOwnerLock(db, ownerId, (trx) => expireThose(trx, isDue, MAX_AT_ONCE, enqueueRemoval))
}

/** What quota a new upload lacks. */
export type QuotaShortage = { of: 'uploads' | 'partials' | 'bytes'; amount: number }

/**
 * Ends idle empty uploads of an owner, such as those whose creation was never answered: the longest idle first, as many
 * as needed for the shortage. Ends none for bytes where all of them would not suffice. Returns those it ended.
 */
export async function expireEmptyUploads(
  db: Ledger,
  ownerId: OwnerId,
  lack: QuotaShortage,
  enqueueRemoval: EnqueueRemoval,
): Promise<UploadId[]> {
  const amounts = {
    uploads: sql`case when is_partial then 0 else 1 end`,
    partials: sql`case when is_partial then 1 else 0 end`,
    bytes: sql`reserved_bytes`,
  }
  return await withOwnerLock(db, ownerId, async (trx) => {
    const rows = await rowsOf<{ id: UploadId; before: number; total: number }>(trx)`
      select id, (sum(amount) over (order by updated_at, id) - amount)::float8 as before,
             (sum(amount) over ())::float8 as total
        from (
          select id, updated_at, ${amounts[lack.of]} as amount from landfall.uploads u
           where owner_id = ${ownerId} and ${isStoredOpen()} and ${isIdle} and ${isFree}
        ) idle
       where amount > 0 order by updated_at, id`
    const chosen = rows
      .filter(({ before, total }) => before < lack.amount && (lack.of !== 'bytes' || total >= lack.amount))
      .map(({ id }) => id)
    if (chosen.length === 0) return []
    const isDue = sql`id = any(${chosen}::text[]) and ${isStoredOpen()} and ${isIdle}`
    return await expireThose(trx, isDue, chosen.length, enqueueRemoval)
  })
}

/** Per owner. */
const MAX_AT_ONCE = 100

/**
 * Seconds until quota for another upload is free at the latest: when an empty upload has been idle for long enough, or
 * any other expires. Undefined where none is open.
 */
export async function secondsUntilQuota(
  db: Ledger,
  ownerId: OwnerId,
  isPartial: boolean,
): Promise<number | undefined> {
  const seconds = await onlyValue<number | null>(withOwnerShare(db, ownerId))`
    select ceil(extract(epoch from min(least(
             expires_at,
             case when "offset" = 0 and (concat is null or is_partial)
                  then ${idleAt} end
           )) - now()))::float8 as seconds
      from landfall.uploads where owner_id = ${ownerId} and ${isStoredOpen()} and is_partial = ${isPartial}`
  return seconds === null ? undefined : Math.max(1, seconds)
}

/** Ends the uploads for which `isDue` is true, except those with a lease. */
async function expireThose(
  trx: LedgerTransaction,
  isDue: RawBuilder<unknown>,
  limit: number,
  enqueueRemoval: EnqueueRemoval,
): Promise<UploadId[]> {
  const ended = await valuesOf<UploadId>(trx)`
    with due as (
      select id from landfall.uploads u
       where ${isDue} and ${isFree}
       order by id limit ${limit} for update skip locked
    ), ended as (
      update landfall.uploads set state = 'expired', updated_at = now()
        from due where uploads.id = due.id
      returning uploads.*, uploads.received_at is not null as was_used
    ), freed as (
      ${release('ended', sql`not was_used`)}
    ), ${logEvents(uploadEvent('ended', 'upload.expired', { where: sql`not was_used` }))}
    select id from ended`
  for (const id of ended) await enqueueRemoval(trx, id)
  return ended
}

/**
 * Enqueues media items again that have been `processing` for longer than `ageMs` and have no job in these queues. Most
 * have one: the two sets are joined as a whole, whatever the planner estimates, which takes a tenth of a second for
 * 50,000 media items. Returns how many, at most `limit`.
 */
export async function requeueLostMedia(
  db: Ledger,
  lost: { ageMs: number; queues: readonly string[]; limit: number },
  enqueue: EnqueueProcessing,
): Promise<number> {
  return await db.transaction().execute(async (trx) => {
    const rows = await rowsOf<DueMedia>(trx)`
      with lost as materialized (
        select id from landfall.media
         where status = 'processing' and created_at < now() - make_interval(secs => ${lost.ageMs / 1000})
           -- Those that wait for their analysis need no job until it is over, or its time is.
           and (not is_parked or analysis_due_at is null)
        except
        select data ->> 'mediaId' from pgboss.job
         where name = any(${lost.queues}::text[]) and state < 'completed'
      )
      select id, owner_id as "ownerId", size, coalesce(${turnClock('processing')}, 0) as turn from landfall.media
       where id = any(array(select id from lost limit ${lost.limit})) and status = 'processing'
       order by id for update skip locked`
    if (rows.length > 0) await enqueue(trx, rows)
    return rows.length
  })
}

/** Removes expired leases that nobody wants, except locked ones. Returns how many. */
export async function clearExpiredLeases(db: Ledger): Promise<number> {
  return await changedRows(db)`
    delete from landfall.upload_locks where upload_id in (
      select upload_id from landfall.upload_locks
       where expires_at < now() - interval '1 minute' for update skip locked
    )`
}
