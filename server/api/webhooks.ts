import type { Request, Router } from 'express'
import type { Bus } from '../../ledger/bus.ts'
import type { Ledger } from '../../ledger/database.ts'
import {
  ALL_OWNERS,
  findDelivery,
  listDeliveries,
  type OwnerScope,
  replayDelivery,
} from '../../ledger/webhook-history.ts'
import { principalOf } from '../auth/authenticate.ts'
import type { Principal } from '../auth/verifier.ts'
import { notFound, Problem } from '../http/errors.ts'
import { strictRouter } from '../http/routing.ts'
import { readInput, readPosition, writePosition } from './query.ts'
import { WebhookDeliveryListQuery } from './schemas.ts'
import { deliveryView, deliveryWithAttemptsView } from './webhook-views.ts'

export type WebhooksApiOptions = { db: Ledger; bus: Bus }

const DELIVERY_ID = /^msg_[0-9a-f]{32}$/

/** `/api/v1/webhooks`: deliveries for the caller's uploads, or everybody's with the scope `admin`. */
export function webhooksApi({ db, bus }: WebhooksApiOptions): Router {
  const router = strictRouter()

  router.get('/deliveries', async (request, response) => {
    const query = readInput(WebhookDeliveryListQuery, request.query)
    const rows = await listDeliveries(db, {
      owner: visibleTo(principalOf(response)),
      limit: query.limit + 1,
      status: query.status,
      before: query.cursor === undefined ? undefined : readPosition(query.cursor),
    })
    const page = rows.slice(0, query.limit)
    const last = page.at(-1)
    response.json({
      items: page.map(deliveryView),
      nextCursor: rows.length > query.limit && last ? writePosition(last.position) : null,
    })
  })

  router.get('/deliveries/:id', async (request, response) => {
    const found = await findDelivery(db, visibleTo(principalOf(response)), idOf(request))
    if (!found) throw notFound()
    response.json(deliveryWithAttemptsView(found.delivery, found.attempts))
  })

  router.post('/deliveries/:id/replay', async (request, response) => {
    const id = idOf(request)
    const owner = visibleTo(principalOf(response))
    const result = await replayDelivery(db, owner, id)
    if (result.kind === 'no-endpoint') throw new Problem('webhooks-off', 'No webhook endpoint is active.')
    const found = result.kind === 'replayed' ? await findDelivery(db, owner, id) : undefined
    if (result.kind === 'unknown' || !found) throw notFound()
    void bus.publish({ t: 'event', id: result.uploadId, queue: null })
    response.status(202).json(deliveryView(found.delivery))
  })

  return router
}

function visibleTo({ ownerId, scopes }: Principal): OwnerScope {
  return scopes.has('admin') ? ALL_OWNERS : ownerId
}

function idOf({ params: { id } }: Request<{ id: string }>): string {
  if (!DELIVERY_ID.test(id)) throw notFound()
  return id
}
