import { setTimeout as sleep } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import type { Bus } from '../../ledger/bus.ts'
import type { Ledger } from '../../ledger/database.ts'
import { configureEndpoint, failDropped } from '../../ledger/webhook-endpoints.ts'
import {
  returnDelivery,
  type TakenDelivery,
  takeDueDeliveries,
  untilNextDelivery,
} from '../../ledger/webhooks.ts'
import type { WorkerLog } from '../failures/worker-log.ts'
import { Alarm, Doorbell } from '../polling/alarm.ts'
import { attemptDelivery, type DeliveryOptions } from './delivery.ts'
import { SCHEDULE_MS } from './schedule.ts'

export type WebhookOptions = {
  url: string
  /** One signature is sent for each. */
  secrets: readonly string[]
  /** Whether the receiver may be at an address that is not public. */
  allowPrivate: boolean
}

export type DispatcherOptions = {
  db: Ledger
  bus: Pick<Bus, 'onMessage' | 'onReconnected'>
  /** Undefined: there are no webhooks, and waiting deliveries end as failed. */
  webhook: WebhookOptions | undefined
  log: WorkerLog
  /** For tests. */
  timing?: Partial<Timing>
}

const TIMING = {
  /** Time limit of one attempt. */
  timeoutMs: 15_000,
  /** After this long the sender of a delivery counts as dead; longer than an attempt. */
  leaseMs: 30_000,
  /** Delays between attempts. */
  schedule: SCHEDULE_MS,
  /** Polling interval, for lost notifications. */
  pollMs: 15_000,
  /** How long attempts may take to end when the worker stops. */
  graceMs: 3_000,
}
export type Timing = typeof TIMING

const CONCURRENCY = 8
const AWAY_MS = 2_000
/** Every event may bring a delivery, and each look locks the row of the endpoint: one look for many events. */
const EVENTS_MS = 250

export type Dispatcher = { close(): Promise<void> }

/** Sends due deliveries to the configured endpoint, until it is closed. Several may run in parallel. */
export async function startDispatcher(options: DispatcherOptions): Promise<Dispatcher> {
  const { db, bus, log, webhook } = options
  if (!webhook) {
    await configureEndpoint(db, undefined)
    return { async close() {} }
  }
  const timing = { ...TIMING, ...options.timing }
  const { id: endpointId, isDisabled } = await configureEndpoint(db, webhook.url)
  if (isDisabled) log.warn({ endpointId }, 'the webhook endpoint is disabled; see "landfall webhooks enable"')
  let isStopping = false
  const sending = new AbortController()
  const delivery: DeliveryOptions = {
    db,
    endpointId,
    url: new URL(webhook.url),
    signers: webhook.secrets.map((secret) => new Webhook(secret)),
    allowPrivate: webhook.allowPrivate,
    timeoutMs: timing.timeoutMs,
    schedule: timing.schedule,
    signal: sending.signal,
    log,
  }
  const inFlight = new Set<Promise<void>>()
  const alarm = new Alarm()

  async function attempt(taken: TakenDelivery): Promise<void> {
    try {
      await attemptDelivery(delivery, taken)
    } catch (error) {
      if (!sending.signal.aborted) {
        // Its lease ends by itself: the ledger may be unavailable.
        log.error({ err: error, id: taken.id }, 'a webhook could not be sent or recorded')
        return
      }
      await returnDelivery(db, taken).catch((error) =>
        log.error({ err: error, id: taken.id }, 'a webhook could not be returned to the queue'),
      )
    }
  }

  /** Takes as many as it can; returns after how long to look again without a notification. */
  async function takeAndSend(): Promise<number> {
    const limit = CONCURRENCY - inFlight.size
    // The first attempt that ends wakes it.
    if (limit <= 0) return timing.pollMs
    const taken = await takeDueDeliveries(db, { endpointId, leaseMs: timing.leaseMs, limit })
    for (const item of taken) {
      const running = attempt(item).finally(() => {
        inFlight.delete(running)
        alarm.ring()
      })
      inFlight.add(running)
    }
    if (taken.length === limit) return timing.pollMs
    const nextMs = await untilNextDelivery(db, endpointId)
    return Math.min(timing.pollMs, nextMs === undefined ? timing.pollMs : Math.ceil(nextMs) + 1)
  }

  async function run(): Promise<void> {
    let sweepAt = performance.now() + timing.pollMs
    while (!isStopping) {
      let waitMs = AWAY_MS
      try {
        waitMs = await takeAndSend()
        if (performance.now() >= sweepAt) {
          await failDropped(db)
          sweepAt = performance.now() + timing.pollMs
        }
      } catch (error) {
        log.error({ err: error }, 'due webhooks could not be read from the database')
      }
      await alarm.within(waitMs)
    }
  }

  const bell = new Doorbell(() => alarm.ring(), EVENTS_MS)
  const unsubscribes = [
    () => bell.close(),
    bus.onMessage((message) => {
      if (message.t === 'event') bell.press()
    }),
    bus.onReconnected(() => alarm.ring()),
  ]
  const running = run()

  return {
    async close() {
      for (const unsubscribe of unsubscribes) unsubscribe()
      isStopping = true
      alarm.ring()
      await running
      const ended = Promise.all(inFlight)
      await Promise.race([ended, sleep(timing.graceMs, undefined, { ref: false })])
      sending.abort()
      await ended
    },
  }
}
