import { type RawBuilder, sql } from 'kysely'
import type { Ledger, LedgerTransaction } from './database.ts'
import type { MediaId, OwnerId, UploadId } from './ids.ts'
import type { Enqueue } from './uploads.ts'

// What time ends. Everything starts from rows of the ledger, a batch at a time, so that no transaction
// grows with the backlog; several reapers share the work.

/**
 * Ends open uploads whose time is over: state `expired`, quota released, event written, removal of the
 * bytes enqueued. One that a request is still writing to is left until its lease is free; no new request
 * can begin on it. Returns the uploads it ended, at most `limit`.
 */
export async function expireUploads(
  db: Ledger,
  limit: number,
  enqueueRemoval: Enqueue<UploadId>,
): Promise<UploadId[]> {
  return await db
    .transaction()
    .execute((trx) => expireThose(trx, sql`expires_at <= now()`, limit, enqueueRemoval))
}

/** Nobody has touched an empty upload for this long: it makes room for another of its owner. */
const IDLE_SECONDS = 300

const isIdle = sql<boolean>`(
  "offset" = 0 and (concat is null or is_partial) and updated_at <= now() - make_interval(secs => ${IDLE_SECONDS})
)`

/**
 * Ends an owner's uploads that hold room for nothing: empty ones that nobody has touched for some minutes, such as
 * those whose creation was never answered. Called when a new one finds no room. Returns those it ended.
 */
export async function expireIdleUploads(
  db: Ledger,
  ownerId: OwnerId,
  enqueueRemoval: Enqueue<UploadId>,
): Promise<UploadId[]> {
  return await db
    .transaction()
    .execute((trx) => expireThose(trx, sql`owner_id = ${ownerId} and ${isIdle}`, MOST_IDLE, enqueueRemoval))
}

/** Of one owner at a time. */
const MOST_IDLE = 100

/**
 * Seconds until an open upload of the owner makes room at the latest: an empty one when it has been idle for long
 * enough, any other when it expires. Undefined where none is open.
 */
export async function secondsUntilRoom(db: Ledger, ownerId: OwnerId): Promise<number | undefined> {
  const { rows } = await sql<{ seconds: number | null }>`
    select ceil(extract(epoch from min(least(
             expires_at,
             case when "offset" = 0 and (concat is null or is_partial)
                  then updated_at + make_interval(secs => ${IDLE_SECONDS}) end
           )) - now()))::float8 as seconds
      from landfall.uploads where owner_id = ${ownerId} and state = 'open'`.execute(db)
  const seconds = rows[0]?.seconds ?? undefined
  return seconds === undefined ? undefined : Math.max(1, seconds)
}

/** Ends the open uploads of which `isDue` is true, unless a request writes to them; the oldest first. */
async function expireThose(
  trx: LedgerTransaction,
  isDue: RawBuilder<unknown>,
  limit: number,
  enqueueRemoval: Enqueue<UploadId>,
): Promise<UploadId[]> {
  const { rows } = await sql<{ id: UploadId }>`
      with due as (
        select id from landfall.uploads u
         where state = 'open' and ${isDue}
           and not exists (
             select 1 from landfall.upload_locks l where l.upload_id = u.id and l.expires_at > now()
           )
         order by expires_at limit ${limit} for update skip locked
      ), ended as (
        update landfall.uploads set state = 'expired', updated_at = now()
          from due where uploads.id = due.id
        returning uploads.id, uploads.owner_id, uploads.reserved_bytes, uploads.is_partial
      ), freed as (
        update landfall.quota_usage q
           set reserved_bytes = q.reserved_bytes - e.bytes, open_uploads = q.open_uploads - e.uploads,
               open_partials = q.open_partials - e.partials
          from (select owner_id, sum(reserved_bytes) as bytes, count(*) filter (where not is_partial) as uploads,
                       count(*) filter (where is_partial) as partials
                  from ended group by owner_id) e
         where q.owner_id = e.owner_id
      ), logged as (
        insert into landfall.events (type, upload_id, owner_id)
        select 'upload.expired', id, owner_id from ended
      )
      select id from ended`.execute(trx)
  for (const { id } of rows) await enqueueRemoval(trx, id)
  return rows.map(({ id }) => id)
}

/**
 * Ends partial uploads that a final has used and whose time is over; they hold no quota. Returns how many, at
 * most `limit`.
 */
export async function expireUsedPartials(
  db: Ledger,
  limit: number,
  enqueueRemoval: Enqueue<UploadId>,
): Promise<number> {
  return await db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ id: UploadId }>`
      with due as (
        select id from landfall.uploads u
         where is_partial and state = 'received' and expires_at <= now()
         order by expires_at limit ${limit} for update skip locked
      )
      update landfall.uploads set state = 'expired', updated_at = now()
        from due where uploads.id = due.id returning uploads.id`.execute(trx)
    for (const { id } of rows) await enqueueRemoval(trx, id)
    return rows.length
  })
}

/**
 * Gives up media that have been deleted for longer than `retentionMs`: quota released, unless a rejection
 * has done so, and removal of bytes and renditions enqueued. Returns how many, at most `limit`.
 */
export async function purgeMedia(
  db: Ledger,
  retentionMs: number,
  limit: number,
  enqueueRemoval: Enqueue<UploadId>,
): Promise<number> {
  return await db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ upload_id: UploadId }>`
      with due as (
        select id from landfall.media
         where status = 'deleted' and purged_at is null
           and deleted_at <= now() - make_interval(secs => ${retentionMs / 1000})
         order by deleted_at limit ${limit} for update skip locked
      ), purged as (
        update landfall.media set purged_at = now() from due where media.id = due.id
        returning media.upload_id, media.owner_id, media.size
      ), charged as (
        select p.owner_id, sum(p.size) as bytes, count(*) as uploads
          from purged p join landfall.uploads u on u.id = p.upload_id
         where u.state <> 'rejected' group by p.owner_id
      ), freed as (
        update landfall.quota_usage q
           set used_bytes = q.used_bytes - c.bytes, finished_uploads = q.finished_uploads - c.uploads
          from charged c where q.owner_id = c.owner_id
      )
      select upload_id from purged`.execute(trx)
    for (const row of rows) await enqueueRemoval(trx, row.upload_id)
    return rows.length
  })
}

/** Media that have been `processing` for longer than `ageMs`: most wait, some may have lost their job. A page, by id. */
export async function mediaLongInProcessing(
  db: Ledger,
  ageMs: number,
  page: { limit: number; after: MediaId | undefined },
): Promise<MediaId[]> {
  const rows = await db
    .selectFrom('media')
    .select('id')
    .where('id', '>', page.after ?? '')
    .where('status', '=', 'processing')
    .where('created_at', '<', sql<Date>`now() - make_interval(secs => ${ageMs / 1000})`)
    // Those that wait for their analysis need no job until it is over, or its time is.
    .where((is) => is.or([is('is_parked', '=', false), is('analysis_due_at', 'is', null)]))
    .orderBy('id')
    .limit(page.limit)
    .execute()
  return rows.map(({ id }) => id as MediaId)
}

/** Removes leases that nobody renewed and nobody wanted. Returns how many. */
export async function clearExpiredLeases(db: Ledger): Promise<number> {
  const { numDeletedRows } = await db
    .deleteFrom('upload_locks')
    .where('expires_at', '<', sql<Date>`now() - interval '1 minute'`)
    .executeTakeFirst()
  return Number(numDeletedRows)
}
