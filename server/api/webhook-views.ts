import type { z } from 'zod'
import { ownerOf } from '../../ledger/ids.ts'
import type { DeliveryAttemptRow, DeliveryRow } from '../../ledger/webhook-history.ts'
import type * as schemas from './schemas.ts'

// Without the receiver's URL, which is the operator's and may contain a token.

export function deliveryView(delivery: DeliveryRow): z.output<typeof schemas.WebhookDelivery> {
  return {
    id: delivery.id,
    type: delivery.type,
    uploadId: delivery.upload_id,
    mediaId: delivery.media_id,
    ...ownerOf(delivery.owner_id),
    status: delivery.status,
    attemptCount: delivery.attempts,
    nextAttemptAt: delivery.status === 'pending' ? delivery.next_attempt_at.toISOString() : null,
    lastStatus: delivery.last_status,
    lastError: delivery.last_error,
    createdAt: delivery.created_at.toISOString(),
    deliveredAt: delivery.delivered_at?.toISOString() ?? null,
  }
}

export function deliveryWithAttemptsView(
  delivery: DeliveryRow,
  attempts: readonly DeliveryAttemptRow[],
): z.output<typeof schemas.WebhookDeliveryWithAttempts> {
  return {
    ...deliveryView(delivery),
    attempts: attempts.map(({ attempt, at, status, error, duration_ms: durationMs }) => ({
      attempt,
      at: at.toISOString(),
      status,
      error,
      durationMs,
    })),
  }
}
