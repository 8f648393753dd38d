import type { Ledger, LedgerTransaction } from './database.ts'
import type { EventType } from './event-types.ts'
import { isOpenNow } from './expiry.ts'
import { firstValue, onlyRow, onlyValue, rowsOf, run } from './rows.ts'
import type { StepStatus } from './schema.ts'

// Figures for operators. Each reads what waits or has just happened, by an index, never a whole table.

/** Reads with a statement timeout of the database, so that no query goes on after its caller has gone. */
export async function withStatementTimeout<Figures>(
  db: Ledger,
  limitMs: number,
  read: (trx: LedgerTransaction) => Promise<Figures>,
): Promise<Figures> {
  return await db
    .transaction()
    .setAccessMode('read only')
    .execute(async (trx) => {
      await run(trx)`select set_config('statement_timeout', ${String(limitMs)}, true)`
      return await read(trx)
    })
}

/** Number of open uploads, partial ones included. */
export async function countOpenUploads(db: Ledger): Promise<number> {
  return await onlyValue<number>(db)`select count(*) from landfall.uploads where ${isOpenNow}`
}

/** Estimated rows of the tables that grow with use, by the database's statistics. */
export async function tableRows(db: Ledger) {
  return await rowsOf<{ table: string; rows: number }>(db)`
    select relname as "table", greatest(reltuples, 0)::float8 as rows
      from pg_class where relnamespace = 'landfall'::regnamespace and relkind = 'r' and relname <> all(${NO_HISTORY}::text[])
     order by relname`
}

/** Tables that do not grow with use. */
const NO_HISTORY = [
  'kysely_migration',
  'kysely_migration_lock',
  'schema_migrations',
  'secrets',
  'quotas',
  'webhook_endpoints',
]

export type ProcessingBacklog = {
  processing: number
  /** Age of the oldest; 0 without any. */
  oldestSeconds: number
  /** Failed ones, which wait for an operator. */
  failed: number
  /** Age of the oldest new file that no worker has begun; 0 without any. */
  behindSeconds: number
}

export async function processingBacklog(db: Ledger): Promise<ProcessingBacklog> {
  return await onlyRow<ProcessingBacklog>(db)`
    select count(*) as processing,
           coalesce(extract(epoch from now() - min(created_at)), 0)::float8 as "oldestSeconds",
           (select count(*) from landfall.media where status = 'failed') as failed,
           coalesce((
             select extract(epoch from now() - m.created_at) from landfall.media m
              where m.status = 'processing'
                -- One that is processed once more waits since it was asked for, which is not written down.
                and not m.is_asked_again
                -- Steps are pruned after a while; what the first of them have found stays.
                and m.content_type is null
                and not exists (select 1 from landfall.processing_steps s where s.media_id = m.id)
              order by m.created_at limit 1
           ), 0)::float8 as "behindSeconds"
      from landfall.media where status = 'processing'`
}

export type StepTimes = {
  step: string
  outcome: Exclude<StepStatus, 'running'>
  attempts: number
  meanSeconds: number
  maxSeconds: number
}

/** Durations of the steps that ended in the last `windowMs`. Skipped ones do not count. */
export async function stepTimes(db: Ledger, windowMs: number): Promise<StepTimes[]> {
  return await rowsOf<StepTimes>(db)`
    select step, status as outcome, count(*) as attempts,
           avg(seconds)::float8 as "meanSeconds", max(seconds)::float8 as "maxSeconds"
      from (
        select step, status, extract(epoch from finished_at - started_at) as seconds
          from landfall.processing_steps
         where finished_at > now() - make_interval(secs => ${windowMs / 1000})
           and (detail -> 'skipped') is null
      ) as finished
     group by step, status order by step, status`
}

export type WebhookBacklog = {
  pending: number
  /** How long the oldest due delivery has been due; 0 without any. */
  oldestDueSeconds: number
}

export async function webhookBacklog(db: Ledger): Promise<WebhookBacklog> {
  return await onlyRow<WebhookBacklog>(db)`
    select count(*) as pending,
           greatest(coalesce(extract(epoch from now() - min(next_attempt_at)), 0), 0)::float8 as "oldestDueSeconds"
      from landfall.webhook_deliveries where status = 'pending'`
}

/** The last event older than this; with a sufficient age no event with a lower id can appear any more. */
export async function lastEventBefore(db: Ledger, ageMs: number): Promise<number> {
  // From the end of the primary key back to events of that age.
  const id = await firstValue<number>(db)`
    select id from landfall.events where created_at <= now() - make_interval(secs => ${ageMs / 1000})
     order by id desc limit 1`
  return id ?? 0
}

/** Number of events of each type with an id in `(after, upTo]`. */
export async function countEvents(db: Ledger, range: { after: number; upTo: number }) {
  return await rowsOf<{ type: EventType; count: number }>(db)`
    select type, count(*) from landfall.events
     where id > ${range.after}::bigint and id <= ${range.upTo}::bigint group by type`
}
