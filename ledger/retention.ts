import { type RawBuilder, sql } from 'kysely'
import type { Ledger } from './database.ts'
import { SETTLED_AFTER_MS } from './events.ts'
import { isStoredEnded } from './expiry.ts'
import { changedRows, onlyRow, onlyValue } from './rows.ts'
import { LASTING_STEPS } from './steps.ts'

// Old records are pruned, oldest first, in statements of at most `limit` rows. What may still be needed stays: waiting
// deliveries, steps of a file in processing, and rows with bytes.

/** How long ended records are kept. */
export type Retention = {
  /** Events, ended deliveries, records of processing steps, and uploads that ended empty. */
  historyMs: number
  /** What the client declared of an upload, since its end; rows of media items and their uploads, since the purge. */
  recordMs: number
}

const before = (ageMs: number) => sql`now() - make_interval(secs => ${ageMs / 1000}::float8)`

/** Not being sent. */
const isNotInFlight = sql<boolean>`(lease is null or next_attempt_at < now())`

/** Ended deliveries, and those that wait for an endpoint that was disabled for as long, with their attempts. */
export async function pruneDeliveries(db: Ledger, ageMs: number, limit: number): Promise<number> {
  return await changedRows(db)`
    with due as (
      (select id from landfall.webhook_deliveries
        where status <> 'pending' and created_at < ${before(ageMs)} and ${isNotInFlight}
        order by created_at limit ${limit})
      union all
      (select d.id from landfall.webhook_endpoints e join landfall.webhook_deliveries d on d.endpoint_id = e.id
        where e.disabled_at < ${before(ageMs)} and d.status = 'pending' and d.created_at < ${before(ageMs)}
          and ${isNotInFlight}
        limit ${limit})
    )
    delete from landfall.webhook_deliveries d using due
     where d.id = due.id and ${isNotInFlight}`
}

/**
 * A page of events from the oldest on. `next`: where to continue; undefined at the first that is young enough. An event
 * is kept until all events before it are visible, whatever its age.
 */
export async function pruneEvents(
  db: Ledger,
  ageMs: number,
  limit: number,
  after: number,
): Promise<{ pruned: number; next: number | undefined }> {
  const { pruned, seen, last } = await onlyRow<{ pruned: number; seen: number; last: number | null }>(db)`
    with oldest as materialized (
      select id, created_at < ${before(Math.max(ageMs, SETTLED_AFTER_MS))} as is_old from landfall.events
       where id > ${after}::bigint order by id limit ${limit}
    ), gone as (
      delete from landfall.events e using oldest o
       where e.id = o.id and o.is_old
         -- What is not delivered yet tells of it.
         and not exists (select 1 from landfall.webhook_deliveries d where d.event_id = e.id)
      returning e.id
    )
    select (select count(*) from gone) as pruned, count(*) filter (where is_old) as seen,
           max(id) filter (where is_old) as last from oldest`
  return { pruned, next: seen === limit ? (last ?? undefined) : undefined }
}

/**
 * Records of the steps of media items that are not being processed. For files that can be processed again, the results
 * of steps that are never repeated are kept with the file. Returns how many records were found, at most `limit`, and
 * how many were pruned: all of the same media item together.
 */
export async function pruneSteps(db: Ledger, ageMs: number, limit: number) {
  return await onlyRow<{ found: number; pruned: number }>(db)`
    with old as materialized (
      select s.media_id from landfall.processing_steps s join landfall.media o on o.id = s.media_id
       where s.finished_at < ${before(ageMs)} and o.status <> 'processing' order by s.finished_at limit ${limit}
    ), due as materialized (
      select m.id from landfall.media m
       where m.status <> 'processing' and m.id in (select media_id from old)
       order by m.id for update skip locked
    ), gone as (
      delete from landfall.processing_steps s using due
       where s.media_id = due.id and coalesce(s.finished_at, s.started_at) < ${before(ageMs)}
      returning s.media_id, s.step, s.status, s.detail
    ), lasting as (
      select media_id, jsonb_object_agg(step, coalesce(detail, '{}')) as steps
        from gone where status = 'done' and step = any(${LASTING_STEPS}::text[]) group by media_id
    ), kept as (
      update landfall.media m set steps_behind = coalesce(m.steps_behind, '{}') || l.steps
        from lasting l where m.id = l.media_id
    )
    select (select count(*) from old) as found, (select count(*) from gone) as pruned`
}

/** Sets the missing `ended_at` of uploads that an earlier release ended, from their last change. Returns how many. */
export async function recordMissingEnds(db: Ledger, limit: number): Promise<number> {
  return await changedRows(db)`
    with due as (
      select id from landfall.uploads
       where ended_at is null and ${isStoredEnded()} limit ${limit} for update skip locked
    )
    update landfall.uploads u set ended_at = u.updated_at from due where u.id = due.id`
}

/** Readers of events can have seen it, and each webhook has it in its payload. */
const isTold = sql<boolean>`not exists (
  -- By the few endpoints, as the index of waiting deliveries begins with them: there may be hundreds of thousands.
  select 1 from landfall.webhook_endpoints e
    join landfall.webhook_deliveries d on d.endpoint_id = e.id
   where d.upload_id = u.id and d.status = 'pending' and d.payload is null
)`

/**
 * Removes the metadata of uploads that ended without a byte, or with much of it, and what was said of purged media items,
 * once the end was told. Returns how many.
 */
export async function shedMetadata(db: Ledger, limit: number): Promise<number> {
  const ended = await changedRows(db)`
    with due as (
      select u.id from landfall.uploads u
       where u.sheds and u.ended_at < ${before(SETTLED_AFTER_MS)} and ${isTold}
         and not exists (select 1 from landfall.media m where m.upload_id = u.id and m.purged_at is not null)
       order by u.ended_at limit ${limit} for update skip locked
    )
    update landfall.uploads u set metadata = '{}', sheds = false from due where u.id = due.id`
  const purged = await changedRows(db)`
    with due as materialized (
      select u.id from landfall.uploads u join landfall.media m on m.upload_id = u.id
       where u.sheds and m.purged_at < ${before(SETTLED_AFTER_MS)} and ${isTold}
       limit ${limit} for update of m, u skip locked
    ), media as (
      update landfall.media m
         set attached_type = null, attached_id = null, title = null, description = null, told_captions = null,
             metadata = '{}'
        from due where m.upload_id = due.id
    )
    update landfall.uploads u set metadata = '{}', metadata_header = null, sheds = false from due where u.id = due.id`
  return Math.max(ended, purged)
}

/** Removes what clients declared of ended uploads. State, sizes and times stay, for the 410. */
export async function stripUploads(db: Ledger, ageMs: number, limit: number): Promise<number> {
  return await changedRows(db)`
    with due as (
      select id from landfall.uploads
       where not is_bare and ended_at < ${before(ageMs)} order by ended_at limit ${limit} for update skip locked
    )
    update landfall.uploads u
       set metadata = '{}', metadata_header = null, filename = null, declared_type = null, digests = null,
           wanted_digest = null, concat = null, sheds = false, is_bare = true
      from due where u.id = due.id`
}

/** The row of the upload `u` is needed: its bytes may still have to be removed, or readers to be told of it. */
const isNeeded = (removalQueue: string) => sql<boolean>`(
  u.multipart_unsure or u.multipart_id is not null
  or exists (select 1 from landfall.upload_tails t where t.upload_id = u.id)
  or exists (select 1 from landfall.upload_concat c where c.final_id = u.id or c.partial_id = u.id)
  or exists (select 1 from landfall.media n join landfall.renditions r on r.media_id = n.id where n.upload_id = u.id)
  or u.id in (select data ->> 'uploadId' from pgboss.job where name = ${removalQueue} and state < 'completed')
  or u.id in (select upload_id from landfall.webhook_deliveries where status = 'pending')
  -- It holds a place of a ticket with which others can still be begun.
  or exists (select 1 from landfall.upload_tickets t where t.id = u.ticket_id and t.begin_before > now())
)`

/**
 * Deletes media items that were purged, or rejected, that long ago, with their uploads and rows in other tables.
 * Returns how many. Those still needed do not count towards the batch, as they could fill it.
 */
export async function pruneMedia(
  db: Ledger,
  ageMs: number,
  limit: number,
  removalQueue: string,
): Promise<number> {
  const isOver = sql`not ${isNeeded(removalQueue)}`
  return await onlyValue<number>(db)`
    with due as materialized (
      select m.id, m.upload_id from landfall.media m
       where m.id in (
         (select p.id from landfall.media p join landfall.uploads u on u.id = p.upload_id
           where p.purged_at < ${before(ageMs)} and ${isOver} order by p.purged_at limit ${limit})
         union all
         -- None is rejected before it was made, and by that time they have an index.
         (select r.id from landfall.media r join landfall.uploads u on u.id = r.upload_id
           where r.status = 'rejected' and r.created_at < ${before(ageMs)}
             and u.is_bare and u.ended_at < ${before(ageMs)} and ${isOver}
           order by r.created_at limit ${limit})
       )
       for update of m skip locked
    ), steps as (
      delete from landfall.processing_steps s using due where s.media_id = due.id
    ), gone as (
      delete from landfall.media m using due where m.id = due.id
    ), parts as (
      delete from landfall.upload_parts p using due where p.upload_id = due.upload_id
    ), uploads as (
      delete from landfall.uploads u using due where u.id = due.upload_id
    )
    select count(*) from due`
}

const pruning =
  (which: RawBuilder<unknown>) => (db: Ledger, ageMs: number, limit: number, removalQueue: string) =>
    onlyValue<number>(db)`
    with due as materialized (
      select u.id from landfall.uploads u
       where ${which} and u.ended_at < ${before(ageMs)} and not ${isNeeded(removalQueue)}
         and not exists (select 1 from landfall.media m where m.upload_id = u.id)
       order by u.ended_at limit ${limit} for update skip locked
    ), parts as (
      delete from landfall.upload_parts p using due where p.upload_id = due.id
    ), gone as (
      delete from landfall.uploads u using due where u.id = due.id
    )
    select count(*) from due`

/**
 * Deletes the remaining rows of uploads that never became media items and ended that long ago. They are unknown from
 * then on.
 */
export const pruneUploads = pruning(sql`u.is_bare`)

/** The same for uploads that were terminated or expired before they received a byte. */
export const pruneEmptyUploads = pruning(sql`u.ended_empty`)
