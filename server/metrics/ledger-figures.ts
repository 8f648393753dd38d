import { Counter, Gauge, type Registry } from 'prom-client'
import type { Ledger } from '../../ledger/database.ts'
import { type EventType, eventsThat } from '../../ledger/event-types.ts'
import { SETTLED_AFTER_MS } from '../../ledger/events.ts'
import {
  countEvents,
  countOpenUploads,
  lastEventBefore,
  processingBacklog,
  type StepTimes,
  stepTimes,
  tableRows,
  webhookBacklog,
  withStatementTimeout,
} from '../../ledger/operating-figures.ts'
import { COLLECT_MS, type Collector } from './collector.ts'

/** Events per scrape; the rest is left to the next ones. */
const MAX_EVENTS = 100_000
const STEP_WINDOW_MS = 5 * 60_000

/** Figures of the ledger: the same on every server, whichever process caused them. */
export function ledgerCollectors(db: Ledger): Collector[] {
  return [
    {
      name: 'uploads',
      async collect(register) {
        const open = await withStatementTimeout(db, COLLECT_MS, countOpenUploads)
        addGauge(register, 'landfall_uploads_open', 'Open uploads.', open)
      },
    },
    outcomesCollector(db),
    {
      name: 'tables',
      async collect(register) {
        const gauge = new Gauge({
          name: 'landfall_table_rows',
          help: 'Estimated number of rows of a ledger table.',
          labelNames: ['table'],
          registers: [register],
        })
        for (const { table, rows } of await withStatementTimeout(db, COLLECT_MS, tableRows))
          gauge.set({ table }, rows)
      },
    },
    {
      name: 'processing',
      async collect(register) {
        const { processing, oldestSeconds, failed, behindSeconds } = await withStatementTimeout(
          db,
          COLLECT_MS,
          processingBacklog,
        )
        addGauge(
          register,
          'landfall_media_processing',
          'Media items in processing or waiting for it.',
          processing,
        )
        addGauge(
          register,
          'landfall_media_oldest_processing_seconds',
          'Age of the oldest media item in processing, since it was received.',
          oldestSeconds,
        )
        addGauge(
          register,
          'landfall_processing_behind_seconds',
          'Age of the oldest received file that no worker has started.',
          behindSeconds,
        )
        addGauge(register, 'landfall_media_failed', 'Media items that failed and can be retried.', failed)
      },
    },
    {
      name: 'steps',
      async collect(register) {
        addSteps(
          register,
          await withStatementTimeout(db, COLLECT_MS, (trx) => stepTimes(trx, STEP_WINDOW_MS)),
        )
      },
    },
    {
      name: 'webhooks',
      async collect(register) {
        const { pending, oldestDueSeconds } = await withStatementTimeout(db, COLLECT_MS, webhookBacklog)
        addGauge(register, 'landfall_webhook_deliveries_pending', 'Pending webhook deliveries.', pending)
        addGauge(
          register,
          'landfall_webhook_oldest_due_seconds',
          'How long the oldest waiting webhook delivery has been due.',
          oldestDueSeconds,
        )
      },
    },
  ]
}

/**
 * Outcomes, counted from the first scrape of this process on. Each event is read once, by its id: a total would have to
 * be counted again in every scrape, or kept in a row that all transactions lock. Counted half a minute late, when no
 * event with a lower id can appear any more.
 */
function outcomesCollector(db: Ledger): Collector {
  const counts = new Map<EventType, number>()
  let after: number | undefined
  return {
    name: 'outcomes',
    async collect(register) {
      const from = after
      const { upTo, events } = await withStatementTimeout(db, COLLECT_MS, async (trx) => {
        const last = await lastEventBefore(trx, SETTLED_AFTER_MS)
        if (from === undefined) return { upTo: last, events: [] }
        const range = { after: from, upTo: Math.min(Math.max(last, from), from + MAX_EVENTS) }
        return { upTo: range.upTo, events: await countEvents(trx, range) }
      })
      after = upTo
      for (const { type, count } of events) counts.set(type, (counts.get(type) ?? 0) + count)
      addOutcomes(register, counts)
    },
  }
}

function addOutcomes(register: Registry, counts: ReadonlyMap<EventType, number>): void {
  const counter = (name: string, help: string) =>
    new Counter({ name, help, labelNames: ['outcome'], registers: [register] })
  const counters = {
    uploads: counter('landfall_uploads_total', 'Ended uploads by outcome.'),
    media: counter('landfall_media_total', 'Processed media items by outcome.'),
  }
  for (const type of eventsThat('isOutcome')) {
    const [of, outcome = type] = type.split('.')
    counters[of === 'media' ? 'media' : 'uploads'].inc({ outcome }, counts.get(type) ?? 0)
  }
}

/**
 * Workers have no metrics address, and the ledger has no totals for a histogram: so these are figures of a time window.
 */
function addSteps(register: Registry, steps: readonly StepTimes[]): void {
  const gauge = (name: string, help: string) =>
    new Gauge({ name, help, labelNames: ['step', 'outcome'], registers: [register] })
  const attempts = gauge(
    'landfall_step_attempts',
    'Attempts at processing steps that ended in the last five minutes.',
  )
  const mean = gauge('landfall_step_mean_seconds', 'Mean duration of these attempts.')
  const max = gauge('landfall_step_max_seconds', 'Maximum duration of these attempts.')
  for (const { step, outcome, ...times } of steps) {
    attempts.set({ step, outcome }, times.attempts)
    mean.set({ step, outcome }, times.meanSeconds)
    max.set({ step, outcome }, times.maxSeconds)
  }
}

function addGauge(register: Registry, name: string, help: string, value: number): void {
  new Gauge({ name, help, registers: [register] }).set(value)
}
