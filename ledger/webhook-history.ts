import { type Selectable, sql } from 'kysely'
import type { Ledger } from './database.ts'
import type { OwnerId, UploadId } from './ids.ts'
import { withOwnerLock, withOwnerShare } from './owner-share.ts'
import type { DeliveryStatus, WebhookAttemptsTable, WebhookDeliveriesTable } from './schema.ts'

// Deliveries as users and operators see them.

/** For callers that may see the deliveries of every owner. */
export const ALL_OWNERS = Symbol('all owners')
export type OwnerScope = OwnerId | typeof ALL_OWNERS

export type DeliveryRow = Omit<Selectable<WebhookDeliveriesTable>, 'payload' | 'lease'>
export type DeliveryAttemptRow = Omit<Selectable<WebhookAttemptsTable>, 'delivery_id'>

export type DeliveryPage = {
  owner: OwnerScope
  limit: number
  status?: DeliveryStatus | undefined
  /** Continue after the delivery at this position. */
  before?: number | undefined
}

/** Callers that see all owners' deliveries use one common share. */
const keyOf = (owner: OwnerScope): string => (owner === ALL_OWNERS ? '' : owner)

const COLUMNS = [
  'id',
  'position',
  'endpoint_id',
  'event_id',
  'upload_id',
  'media_id',
  'owner_id',
  'type',
  'status',
  'attempts',
  'failures',
  'next_attempt_at',
  'last_status',
  'last_error',
  'created_at',
  'delivered_at',
] as const

/** A page of deliveries, the newest or last replayed first. */
export async function listDeliveries(db: Ledger, page: DeliveryPage): Promise<DeliveryRow[]> {
  let query = withOwnerShare(db, keyOf(page.owner)).selectFrom('landfall.webhook_deliveries').select(COLUMNS)
  if (page.owner !== ALL_OWNERS) query = query.where('owner_id', '=', page.owner)
  if (page.status) query = query.where('status', '=', page.status)
  if (page.before !== undefined) query = query.where('position', '<', page.before)
  return await query.orderBy('position', 'desc').limit(page.limit).execute()
}

/** A delivery with its attempts, oldest first; undefined when unknown or another owner's. */
export async function findDelivery(
  db: Ledger,
  owner: OwnerScope,
  id: string,
): Promise<{ delivery: DeliveryRow; attempts: DeliveryAttemptRow[] } | undefined> {
  const own = withOwnerShare(db, keyOf(owner))
  let query = own.selectFrom('landfall.webhook_deliveries').select(COLUMNS).where('id', '=', id)
  if (owner !== ALL_OWNERS) query = query.where('owner_id', '=', owner)
  const delivery = await query.executeTakeFirst()
  if (!delivery) return undefined
  const attempts = await own
    .selectFrom('landfall.webhook_attempts')
    .select(['attempt', 'at', 'status', 'error', 'duration_ms'])
    .where('delivery_id', '=', id)
    .orderBy('attempt')
    .execute()
  return { delivery, attempts }
}

export type ReplayResult =
  | { kind: 'replayed'; uploadId: UploadId }
  /** No such delivery of this owner. */
  | { kind: 'unknown' }
  /** No endpoint is configured. */
  | { kind: 'no-endpoint' }

/**
 * Makes a delivery due now, with all of its retries, at the current endpoint. An ended one is queued after what waits
 * for its upload; one that is being sent is left as it is.
 */
export async function replayDelivery(db: Ledger, owner: OwnerScope, id: string): Promise<ReplayResult> {
  return await withOwnerLock(db, keyOf(owner), async (trx): Promise<ReplayResult> => {
    let query = trx.selectFrom('landfall.webhook_deliveries').where('id', '=', id)
    if (owner !== ALL_OWNERS) query = query.where('owner_id', '=', owner)
    const delivery = await query
      .select([
        'upload_id',
        'status',
        sql<boolean>`coalesce(lease is not null and next_attempt_at > now(), false)`.as('is_in_flight'),
      ])
      .forUpdate()
      .executeTakeFirst()
    if (!delivery) return { kind: 'unknown' }
    const endpoint = await trx
      .selectFrom('landfall.webhook_endpoints')
      .select('id')
      .where('disabled_at', 'is', null)
      .executeTakeFirst()
    if (!endpoint) return { kind: 'no-endpoint' }
    const hasEnded = delivery.status !== 'pending'
    if (hasEnded || !delivery.is_in_flight) {
      await trx
        .updateTable('landfall.webhook_deliveries')
        .set({
          status: 'pending',
          endpoint_id: endpoint.id,
          failures: 0,
          lease: null,
          next_attempt_at: sql<Date>`now()`,
          delivered_at: null,
          ...(hasEnded ? { position: sql<number>`default` } : {}),
        })
        .where('id', '=', id)
        .execute()
    }
    return { kind: 'replayed', uploadId: delivery.upload_id }
  })
}
