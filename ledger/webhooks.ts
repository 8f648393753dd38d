import { type Selectable, sql } from 'kysely'
import type { Ledger } from './database.ts'
import type { MediaId, OwnerId, UploadId } from './ids.ts'
import type { EventType, Reason, UploadsTable } from './schema.ts'

/** A delivery that nobody else sends until its lease is over. */
export type TakenDelivery = {
  /** The `webhook-id`. */
  id: string
  lease: string
  type: EventType
  upload_id: UploadId
  media_id: MediaId | null
  owner_id: OwnerId
  /** Attempts that failed since it was made or replayed. */
  failures: number
  /** What an earlier attempt sent; null before the first. */
  payload: string | null
  happened_at: Date
  reason: Reason | null
}

/**
 * Takes deliveries that are due, at most `limit`. Of an upload it is the one that comes first, and only while no
 * other of this upload is in flight; what waits for a retry holds back what follows it, of its upload alone.
 * What was taken and never recorded is due again after `leaseMs`.
 */
export async function takeDueDeliveries(
  db: Ledger,
  take: { endpointId: string; leaseMs: number; limit: number },
): Promise<TakenDelivery[]> {
  return await db.transaction().execute(async (trx) => {
    // One taker at a time: two could each take one of the same upload, where a replay has put one behind another.
    const endpoint = await trx
      .selectFrom('webhook_endpoints')
      .select('id')
      .where('id', '=', take.endpointId)
      .where('disabled_at', 'is', null)
      .forNoKeyUpdate()
      .executeTakeFirst()
    if (!endpoint) return []
    // Looked up for each in turn until there are enough: 4 ms where 100,000 wait. As "not exists" all of them would be
    // joined first, which takes 300 ms.
    const { rows } = await sql<TakenDelivery>`
      with due as (
        select id from landfall.webhook_deliveries d
         where endpoint_id = ${take.endpointId} and status = 'pending' and next_attempt_at <= now()
           and (
             select o.position = d.position
                    and not bool_or(o.lease is not null and o.next_attempt_at > now()) over ()
               from landfall.webhook_deliveries o
              where o.endpoint_id = d.endpoint_id and o.upload_id = d.upload_id and o.status = 'pending'
              order by o.position limit 1
           )
         order by next_attempt_at limit ${take.limit} for update of d skip locked
      ), taken as (
        update landfall.webhook_deliveries d
           set lease = gen_random_uuid(), next_attempt_at = now() + make_interval(secs => ${take.leaseMs / 1000})
          from due where d.id = due.id
        returning d.*
      )
      select t.id, t.lease, t.type, t.upload_id, t.media_id, t.owner_id, t.failures, t.payload,
             e.created_at as happened_at, e.data -> 'reason' as reason
        from taken t join landfall.events e on e.id = t.event_id order by t.position`.execute(trx)
    return rows
  })
}

/** In how many milliseconds something is due, or a lease is over; undefined when nothing waits for a time. */
export async function untilNextDelivery(db: Ledger, endpointId: string): Promise<number | undefined> {
  const { ms } = await db
    .selectFrom('webhook_deliveries')
    .select(sql<number | null>`(extract(epoch from min(next_attempt_at) - now()) * 1000)::float8`.as('ms'))
    .where('endpoint_id', '=', endpointId)
    .where('status', '=', 'pending')
    .where('next_attempt_at', '>', sql<Date>`now()`)
    .executeTakeFirstOrThrow()
  return ms ?? undefined
}

/**
 * Keeps what is about to be sent, for the worker that sends this delivery again. Returns what an earlier attempt has kept where
 * there is such; undefined when the lease was lost.
 */
export async function storePayload(
  db: Ledger,
  { id, lease }: Pick<TakenDelivery, 'id' | 'lease'>,
  payload: string,
): Promise<string | undefined> {
  const { rows } = await sql<{ payload: string }>`
    update landfall.webhook_deliveries set payload = coalesce(payload, ${payload})
     where id = ${id} and lease = ${lease}::uuid and status = 'pending' returning payload`.execute(db)
  return rows[0]?.payload
}

export type AttemptRecord = {
  /** Of the answer; null where none came. */
  status: number | null
  /** What was wrong; null where nothing was. */
  error: string | null
  durationMs: number
  outcome: { kind: 'delivered' } | { kind: 'failed' } | { kind: 'retry'; delayMs: number }
}

/**
 * Writes down how an attempt ended, and makes what follows it in its upload due when it is. Returns false, and
 * changes nothing, when the lease was lost.
 */
export async function recordAttempt(
  db: Ledger,
  { id, lease }: Pick<TakenDelivery, 'id' | 'lease'>,
  attempt: AttemptRecord,
): Promise<boolean> {
  const { outcome } = attempt
  const status = outcome.kind === 'retry' ? 'pending' : outcome.kind
  const delayMs = outcome.kind === 'retry' ? outcome.delayMs : 0
  const { rows } = await sql`
    with recorded as (
      update landfall.webhook_deliveries
         set status = ${status}, lease = null, attempts = attempts + 1,
             failures = failures + ${outcome.kind === 'delivered' ? 0 : 1}::integer,
             next_attempt_at = now() + make_interval(secs => ${delayMs / 1000}),
             last_status = ${attempt.status}::integer, last_error = ${attempt.error}::text,
             delivered_at = case when ${status} = 'delivered' then now() end
       where id = ${id} and lease = ${lease}::uuid and status = 'pending'
      returning *
    ), following as (
      update landfall.webhook_deliveries d set next_attempt_at = r.next_attempt_at
        from recorded r
       where d.endpoint_id = r.endpoint_id and d.upload_id = r.upload_id and d.status = 'pending'
         and d.position > r.position and d.lease is null
    ), logged as (
      insert into landfall.webhook_attempts (delivery_id, attempt, status, error, duration_ms)
      select id, attempts, last_status, last_error, ${Math.round(attempt.durationMs)}::integer from recorded
    )
    select id from recorded`.execute(db)
  return rows.length > 0
}

/** Gives a delivery back as it was: it is due at once, for any worker. */
export async function returnDelivery(
  db: Ledger,
  { id, lease }: Pick<TakenDelivery, 'id' | 'lease'>,
): Promise<void> {
  await db
    .updateTable('webhook_deliveries')
    .set({ lease: null, next_attempt_at: sql<Date>`now()` })
    .where('id', '=', id)
    .where('lease', '=', lease)
    .execute()
}

/** The upload that a delivery tells of. */
export async function uploadForDelivery(
  db: Ledger,
  id: UploadId,
): Promise<Pick<Selectable<UploadsTable>, 'id' | 'owner_id' | 'filename' | 'offset' | 'size' | 'media_id'>> {
  return await db
    .selectFrom('uploads')
    .select(['id', 'owner_id', 'filename', 'offset', 'size', 'media_id'])
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
}
