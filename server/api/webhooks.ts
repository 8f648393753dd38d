import type { Bus } from '../../ledger/bus.ts'
import type { Ledger } from '../../ledger/database.ts'
import {
  type DeliveriesOf,
  findDelivery,
  listDeliveries,
  replayDelivery,
} from '../../ledger/webhook-history.ts'
import { isAdmin, type Principal } from '../auth/principal.ts'
import { notFound, Problem } from '../http/errors.ts'
import { WEBHOOK_DELIVERY_ID } from '../routes/param.ts'
import { route } from '../routes/route.ts'
import { json } from './answers.ts'
import { pageOf, readPosition, writePosition } from './query.ts'
import {
  WebhookDelivery,
  WebhookDeliveryList,
  WebhookDeliveryListQuery,
  WebhookDeliveryWithAttempts,
} from './schemas.ts'
import { deliveryView, deliveryWithAttemptsView } from './webhook-views.ts'

export type WebhooksServices = { db: Ledger; bus: Bus }

/** `/api/v1/webhooks`: deliveries for the owner's uploads, or those of everybody in the tenant of an admin. */
export const webhooksRoutes = [
  route('get', '/api/v1/webhooks/deliveries', 'token', {
    query: WebhookDeliveryListQuery,
    answers: { 200: json(WebhookDeliveryList) },
    summary: 'The deliveries of webhooks, newest first',
    description: '`{ items: [delivery…], nextCursor }`',
    async handle({ response, who, query }, { db }: WebhooksServices) {
      const rows = await listDeliveries(db, {
        of: listedFor(who),
        limit: query.limit + 1,
        status: query.status,
        before: query.cursor === undefined ? undefined : readPosition(query.cursor),
      })
      response.json(pageOf(rows, query.limit, deliveryView, ({ position }) => writePosition(position)))
    },
  }),
  route('get', '/api/v1/webhooks/deliveries/:id', 'token', {
    params: { id: WEBHOOK_DELIVERY_ID },
    answers: { 200: json(WebhookDeliveryWithAttempts) },
    summary: 'A delivery with its `attempts`',
    description: '`[{ attempt, at, status, error, durationMs }]`',
    async handle({ response, who, params }, { db }: WebhooksServices) {
      const found = await findDelivery(db, who.ownerId, params.id)
      if (!found) throw notFound()
      response.json(deliveryWithAttemptsView(found.delivery, found.attempts))
    },
  }),
  route('post', '/api/v1/webhooks/deliveries/:id/replay', 'token', {
    params: { id: WEBHOOK_DELIVERY_ID },
    answers: { 202: json(WebhookDelivery) },
    summary: 'Sends a delivery again',
    description: 'It is due now, with all of its retries.',
    async handle({ response, who, params }, { db, bus }: WebhooksServices) {
      const { ownerId } = who
      const result = await replayDelivery(db, ownerId, params.id)
      if (result.kind === 'no-endpoint') throw new Problem('webhooks-off', 'No webhook endpoint is active.')
      const found = result.kind === 'replayed' ? await findDelivery(db, ownerId, params.id) : undefined
      if (result.kind === 'unknown' || !found) throw notFound()
      void bus.publish({ t: 'event', id: result.uploadId, queue: null })
      response.status(202).json(deliveryView(found.delivery))
    },
  }),
]

function listedFor(who: Principal): DeliveriesOf {
  const { ownerId, tenantId, isNamed = false } = who
  if (isNamed || !isAdmin(who)) return { ownerId }
  return tenantId === null ? 'everybody' : { tenantId }
}
