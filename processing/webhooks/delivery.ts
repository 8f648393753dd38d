import type { Webhook } from 'standardwebhooks'
import type { Ledger } from '../../ledger/database.ts'
import { disableEndpoint } from '../../ledger/webhook-endpoints.ts'
import { type AttemptRecord, recordAttempt, storePayload, type TakenDelivery } from '../../ledger/webhooks.ts'
import { type Answer, send } from '../../system/outgoing/sender.ts'
import { signedHeaders } from '../../system/outgoing/signature.ts'
import type { WorkerLog } from '../failures/worker-log.ts'
import { payloadOf } from './payload.ts'
import { retryDelayMs } from './schedule.ts'

export type DeliveryOptions = {
  db: Ledger
  endpointId: string
  url: URL
  signers: readonly Webhook[]
  allowPrivate: boolean
  timeoutMs: number
  schedule: readonly number[]
  /** Aborted when the worker stops. */
  signal: AbortSignal
  log: WorkerLog
}

/** Makes one attempt at a delivery and records its result. Throws when `signal` is aborted or the ledger is unavailable. */
export async function attemptDelivery(options: DeliveryOptions, delivery: TakenDelivery): Promise<void> {
  const { db, endpointId, log } = options
  const payload = delivery.payload ?? (await storePayload(db, delivery, await payloadOf(db, delivery)))
  // Another worker has taken it over.
  if (payload === undefined) return
  const begun = performance.now()
  const answer = await send(
    { url: options.url, headers: signedHeaders(options.signers, delivery.id, payload), body: payload },
    options,
  )
  const { status, error } = answer
  const outcome = outcomeOf(answer, delivery, options.schedule)
  const durationMs = performance.now() - begun
  const isRecorded = await recordAttempt(db, delivery, { status, error, durationMs, outcome })
  const { id, type } = delivery
  if (!isRecorded) log.warn({ id, type }, 'a webhook took longer than its lease and is sent again')
  else if (outcome.kind === 'retry')
    log.info(
      { id, type, error, delayMs: Math.round(outcome.delayMs) },
      'a webhook failed and will be sent again',
    )
  else if (outcome.kind === 'failed') log.warn({ id, type, error }, 'a webhook failed permanently')
  if (status === 410) {
    await disableEndpoint(db, endpointId)
    log.warn(
      { endpointId },
      'the webhook endpoint answered 410 and is disabled; see "landfall webhooks enable"',
    )
  }
}

function outcomeOf(
  { status, error, retryAfterMs }: Answer,
  { failures }: TakenDelivery,
  schedule: readonly number[],
): AttemptRecord['outcome'] {
  if (error === null) return { kind: 'delivered' }
  const delayMs = status === 410 ? undefined : retryDelayMs(failures + 1, retryAfterMs, { schedule })
  return delayMs === undefined ? { kind: 'failed' } : { kind: 'retry', delayMs }
}
