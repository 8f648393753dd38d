import type { Registry } from 'prom-client'
import type { Ledger, LedgerTransaction } from '../../ledger/database.ts'
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
import { counter, gauge } from './instruments.ts'

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
        gauge(register, 'landfall_uploads_open', 'Open uploads.').set(open)
      },
    },
    outcomesCollector(db),
    {
      name: 'tables',
      async collect(register) {
        const help = 'Estimated number of rows of a ledger table.'
        const counts = gauge(register, 'landfall_table_rows', help, 'table')
        for (const { table, rows } of await withStatementTimeout(db, COLLECT_MS, tableRows))
          counts.set({ table }, rows)
      },
    },
    {
      name: 'processing',
      async collect(register) {
        const backlog = await withStatementTimeout(db, COLLECT_MS, processingBacklog)
        const waiting = 'Media items in processing or waiting for it.'
        gauge(register, 'landfall_media_processing', waiting).set(backlog.processing)
        const oldest = 'Age of the oldest media item in processing, since it was received.'
        gauge(register, 'landfall_media_oldest_processing_seconds', oldest).set(backlog.oldestSeconds)
        const behind = 'Age of the oldest received file that no worker has started.'
        gauge(register, 'landfall_processing_behind_seconds', behind).set(backlog.behindSeconds)
        const failed = 'Media items that failed and can be retried.'
        gauge(register, 'landfall_media_failed', failed).set(backlog.failed)
      },
    },
    {
      name: 'steps',
      async collect(register) {
        const ofWindow = (trx: LedgerTransaction) => stepTimes(trx, STEP_WINDOW_MS)
        addSteps(register, await withStatementTimeout(db, COLLECT_MS, ofWindow))
      },
    },
    {
      name: 'webhooks',
      async collect(register) {
        const { pending, oldestDueSeconds } = await withStatementTimeout(db, COLLECT_MS, webhookBacklog)
        gauge(register, 'landfall_webhook_deliveries_pending', 'Pending webhook deliveries.').set(pending)
        const help = 'How long the oldest waiting webhook delivery has been due.'
        gauge(register, 'landfall_webhook_oldest_due_seconds', help).set(oldestDueSeconds)
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
  const counters = {
    uploads: counter(register, 'landfall_uploads_total', 'Ended uploads by outcome.', 'outcome'),
    media: counter(register, 'landfall_media_total', 'Processed media items by outcome.', 'outcome'),
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
  const labelled = (name: string, help: string) => gauge(register, name, help, 'step', 'outcome')
  const ended = 'Attempts at processing steps that ended in the last five minutes.'
  const attempts = labelled('landfall_step_attempts', ended)
  const mean = labelled('landfall_step_mean_seconds', 'Mean duration of these attempts.')
  const max = labelled('landfall_step_max_seconds', 'Maximum duration of these attempts.')
  for (const { step, outcome, ...times } of steps) {
    attempts.set({ step, outcome }, times.attempts)
    mean.set({ step, outcome }, times.meanSeconds)
    max.set({ step, outcome }, times.maxSeconds)
  }
}
