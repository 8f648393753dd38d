import { type Selectable, sql } from 'kysely'
import type { Ledger } from './database.ts'
import type { EventType } from './event-types.ts'
import type { MediaId, OwnerId, UploadId } from './ids.ts'
import { firstValue, hasRow, rowsOf } from './rows.ts'
import type { MediaStatus, Reason, UploadsTable } from './schema.ts'

/** A delivery that nobody else sends until its lease is over. */
export type TakenDelivery = {
  /** The `webhook-id`. */
  id: string
  lease: string
  type: EventType
  upload_id: UploadId
  media_id: MediaId | null
  owner_id: OwnerId
  /** Failed attempts since it was created or replayed. */
  failures: number
  /** What an earlier attempt sent; null before the first. */
  payload: string | null
  happened_at: Date
  reason: Reason | null
  /** What a restored media item is again. */
  status: MediaStatus | null
}

/**
 * Takes due deliveries, at most `limit`: of each upload the first one, and only while no other of that upload is being
 * sent. One that waits for a retry holds back later ones of its upload only. Deliveries that were taken and never
 * recorded are due again after `leaseMs`.
 */
export async function takeDueDeliveries(
  db: Ledger,
  take: { endpointId: string; leaseMs: number; limit: number },
): Promise<TakenDelivery[]> {
  return await db.transaction().execute(async (trx) => {
    // One taker at a time: after a replay two could each take one of the same upload.
    const endpoint = await trx
      .selectFrom('landfall.webhook_endpoints')
      .select('id')
      .where('id', '=', take.endpointId)
      .where('disabled_at', 'is', null)
      .forNoKeyUpdate()
      .executeTakeFirst()
    if (!endpoint) return []
    // Checked one by one until there are enough: 4 ms where 100,000 wait. With "not exists" all of them would be joined
    // first, which takes 300 ms.
    return await rowsOf<TakenDelivery>(trx)`
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
             e.created_at as happened_at, e.data -> 'reason' as reason, -- That of an analysis is its own.
             case when e.type like 'media.%' then e.data ->> 'status' end as status
        from taken t join landfall.events e on e.id = t.event_id order by t.position`
  })
}

/** Milliseconds until a delivery is due or a lease is over; undefined when none waits. */
export async function untilNextDelivery(db: Ledger, endpointId: string): Promise<number | undefined> {
  const { ms } = await db
    .selectFrom('landfall.webhook_deliveries')
    .select(sql<number | null>`(extract(epoch from min(next_attempt_at) - now()) * 1000)::float8`.as('ms'))
    .where('endpoint_id', '=', endpointId)
    .where('status', '=', 'pending')
    .where('next_attempt_at', '>', sql<Date>`now()`)
    .executeTakeFirstOrThrow()
  return ms ?? undefined
}

/**
 * Stores the payload before it is sent, for repeated attempts. Returns that of an earlier attempt where there is one;
 * undefined when the lease was lost.
 */
export async function storePayload(
  db: Ledger,
  { id, lease }: Pick<TakenDelivery, 'id' | 'lease'>,
  payload: string,
): Promise<string | undefined> {
  return await firstValue<string>(db)`
    update landfall.webhook_deliveries set payload = coalesce(payload, ${payload})
     where id = ${id} and lease = ${lease}::uuid and status = 'pending' returning payload`
}

export type AttemptRecord = {
  /** Null where there was no answer. */
  status: number | null
  /** Null for a success. */
  error: string | null
  durationMs: number
  outcome: { kind: 'delivered' } | { kind: 'failed' } | { kind: 'retry'; delayMs: number }
}

/**
 * Records the result of an attempt, and makes the next delivery of its upload due. Returns false, and changes nothing,
 * when the lease was lost.
 */
export async function recordAttempt(
  db: Ledger,
  { id, lease }: Pick<TakenDelivery, 'id' | 'lease'>,
  attempt: AttemptRecord,
): Promise<boolean> {
  const { outcome } = attempt
  const status = outcome.kind === 'retry' ? 'pending' : outcome.kind
  const delayMs = outcome.kind === 'retry' ? outcome.delayMs : 0
  return await hasRow(db)`
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
    select id from recorded`
}

/** Returns a delivery unchanged: it is due at once, for any worker. */
export async function returnDelivery(
  db: Ledger,
  { id, lease }: Pick<TakenDelivery, 'id' | 'lease'>,
): Promise<void> {
  await db
    .updateTable('landfall.webhook_deliveries')
    .set({ lease: null, next_attempt_at: sql<Date>`now()` })
    .where('id', '=', id)
    .where('lease', '=', lease)
    .execute()
}

/** The upload of a delivery. */
export async function uploadForDelivery(
  db: Ledger,
  id: UploadId,
): Promise<
  Pick<Selectable<UploadsTable>, 'id' | 'owner_id' | 'filename' | 'offset' | 'size' | 'media_id' | 'metadata'>
> {
  return await db
    .selectFrom('landfall.uploads')
    .select(['id', 'owner_id', 'filename', 'offset', 'size', 'media_id', 'metadata'])
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
}
