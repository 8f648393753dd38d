import { type Selectable, sql } from 'kysely'
import type { Ledger } from './database.ts'
import type { OwnerId, UploadId } from './ids.ts'
import { withOwnerLock, withOwnerShare } from './owner-share.ts'
import type { DeliveryStatus, WebhookAttemptsTable, WebhookDeliveriesTable } from './schema.ts'

// Deliveries as users and operators see them.

/** Whose deliveries are listed: an owner's, those of all owners of a tenant, or everybody's. */
export type DeliveriesOf = { ownerId: OwnerId } | { tenantId: string } | 'everybody'

export type DeliveryRow = Omit<Selectable<WebhookDeliveriesTable>, 'payload' | 'lease'>
export type DeliveryAttemptRow = Omit<Selectable<WebhookAttemptsTable>, 'delivery_id'>

export type DeliveryPage = {
  of: DeliveriesOf
  limit: number
  status?: DeliveryStatus | undefined
  /** Continue after the delivery at this position. */
  before?: number | undefined
}

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

const isOfOwner = (ownerId: OwnerId) => sql<boolean>`owner_id = ${ownerId}`

/** As the index of deliveries by tenant has it. */
const isOfTenant = (tenantId: string) =>
  sql<boolean>`(strpos(owner_id, E'\\x1f') > 0 and split_part(owner_id, E'\\x1f', 1) = ${tenantId})`

/** A page of deliveries, the newest or last replayed first. */
export async function listDeliveries(db: Ledger, page: DeliveryPage): Promise<DeliveryRow[]> {
  const { of } = page
  // Callers that see the deliveries of several owners use one common share.
  const share = of !== 'everybody' && 'ownerId' in of ? of.ownerId : ''
  let query = withOwnerShare(db, share).selectFrom('landfall.webhook_deliveries').select(COLUMNS)
  if (of !== 'everybody')
    query = query.where('ownerId' in of ? isOfOwner(of.ownerId) : isOfTenant(of.tenantId))
  if (page.status) query = query.where('status', '=', page.status)
  if (page.before !== undefined) query = query.where('position', '<', page.before)
  return await query.orderBy('position', 'desc').limit(page.limit).execute()
}

/** A delivery with its attempts, oldest first; undefined when unknown or another owner's. */
export async function findDelivery(
  db: Ledger,
  ownerId: OwnerId,
  id: string,
): Promise<{ delivery: DeliveryRow; attempts: DeliveryAttemptRow[] } | undefined> {
  const own = withOwnerShare(db, ownerId)
  const delivery = await own
    .selectFrom('landfall.webhook_deliveries')
    .select(COLUMNS)
    .where('id', '=', id)
    .where('owner_id', '=', ownerId)
    .executeTakeFirst()
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
 * Makes a delivery of this owner, or for operators (`undefined`) of anybody, due now, with all of its retries, at the current endpoint. An ended one is queued after what waits
 * for its upload; one that is being sent is left as it is.
 */
export async function replayDelivery(
  db: Ledger,
  ownerId: OwnerId | undefined,
  id: string,
): Promise<ReplayResult> {
  return await withOwnerLock(db, ownerId ?? '', async (trx): Promise<ReplayResult> => {
    const delivery = await trx
      .selectFrom('landfall.webhook_deliveries')
      .where('id', '=', id)
      .where((is) => (ownerId === undefined ? is.lit(true) : is('owner_id', '=', ownerId)))
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
