import type { Bus } from '../../ledger/bus.ts'
import type { Ledger } from '../../ledger/database.ts'
import {
  ALL_OWNERS,
  findDelivery,
  listDeliveries,
  type OwnerScope,
  replayDelivery,
} from '../../ledger/webhook-history.ts'
import type { Principal } from '../auth/principal.ts'
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

/** `/api/v1/webhooks`: deliveries for the caller's uploads, or everybody's with the scope `admin`. */
export const webhooksRoutes = [
  route('get', '/api/v1/webhooks/deliveries', 'token', {
    query: WebhookDeliveryListQuery,
    answers: { 200: json(WebhookDeliveryList) },
    summary: 'The deliveries of webhooks, newest first',
    description: '`{ items: [delivery…], nextCursor }`',
    async handle({ response, who, query }, { db }: WebhooksServices) {
      const rows = await listDeliveries(db, {
        owner: visibleTo(who),
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
      const found = await findDelivery(db, visibleTo(who), params.id)
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
      const owner = visibleTo(who)
      const result = await replayDelivery(db, owner, params.id)
      if (result.kind === 'no-endpoint') throw new Problem('webhooks-off', 'No webhook endpoint is active.')
      const found = result.kind === 'replayed' ? await findDelivery(db, owner, params.id) : undefined
      if (result.kind === 'unknown' || !found) throw notFound()
      void bus.publish({ t: 'event', id: result.uploadId, queue: null })
      response.status(202).json(deliveryView(found.delivery))
    },
  }),
]

function visibleTo({ ownerId, scopes }: Principal): OwnerScope {
  return scopes.has('admin') ? ALL_OWNERS : ownerId
}
