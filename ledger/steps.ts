import { sql } from 'kysely'
import { ASYNC_COMMIT, type Ledger, type LedgerTransaction } from './database.ts'
import type { MediaId } from './ids.ts'
import { type MediaFacts, recordFacts } from './media.ts'
import { firstValue, hasRow, rowsOf, run } from './rows.ts'
import type { StepStatus } from './schema.ts'

export type StepDetail = Record<string, unknown>

/** Steps that are never repeated: what they found is final. */
export const LASTING_STEPS = ['assemble', 'identify', 'scan', 'publish', 'notify']

/** The steps of a media item that are done, with their results. */
export async function stepsDone(db: Ledger, mediaId: MediaId): Promise<Map<string, StepDetail>> {
  const rows = await rowsOf<{ step: string; detail: StepDetail | null }>(db)`
    select b.key as step, b.value as detail
      from landfall.media m cross join jsonb_each(m.steps_behind) b where m.id = ${mediaId}
    union all
    select step, detail from landfall.processing_steps where media_id = ${mediaId} and status = 'done'`
  return new Map(rows.map((row) => [row.step, row.detail ?? {}]))
}

/** The latest attempt at a step of this media item. */
export async function lastAttempt(db: Ledger, mediaId: MediaId) {
  return await db
    .selectFrom('landfall.processing_steps')
    .select(['step', 'status', 'attempt', 'detail'])
    .where('media_id', '=', mediaId)
    .where('status', '<>', 'done')
    .orderBy('started_at', 'desc')
    .limit(1)
    .executeTakeFirst()
}

/**
 * Records that a step begins; returns the number of this attempt, from 1. Two workers that begin at the same time get
 * different numbers.
 */
export async function beginStep(db: Ledger, mediaId: MediaId, step: string): Promise<number> {
  for (;;) {
    const attempt = await firstValue<number>(db)`
      insert into landfall.processing_steps (media_id, step, attempt, status)
      select ${mediaId}, ${step}, coalesce(max(attempt), 0) + 1, 'running'
        from (select ${ASYNC_COMMIT}) lazily
        left join landfall.processing_steps on media_id = ${mediaId} and step = ${step}
      on conflict do nothing
      returning attempt`
    if (attempt !== undefined) return attempt
  }
}

/**
 * Records the result of an attempt, and its facts. A step is done once: where another worker has done it, this attempt
 * changes nothing and leaves no record. Returns false, and records nothing, for a step that is done of a media item that
 * was deleted since it began, restored or not: what it stored was refused.
 */
export async function endStep(
  db: Ledger,
  attempt: { mediaId: MediaId; step: string; attempt: number },
  outcome: { status: Exclude<StepStatus, 'running'>; detail: StepDetail; facts?: MediaFacts | undefined },
): Promise<boolean> {
  const { mediaId, step } = attempt
  const row = { media_id: mediaId, step, attempt: attempt.attempt }
  return await db.transaction().execute(async (trx) => {
    // One at a time for a media item, or neither of two workers would see the other's result.
    const media = await trx
      .selectFrom('landfall.media')
      .select(['status', ASYNC_COMMIT.as('lazily')])
      .where('id', '=', mediaId)
      .forUpdate()
      .executeTakeFirst()
    if (outcome.status === 'done' && (media?.status === 'deleted' || !(await isRunning(trx, row))))
      return false
    if (outcome.facts) await recordFacts(trx, mediaId, outcome.facts)
    if (outcome.status === 'done' && (await stepsDone(trx, mediaId)).has(step)) {
      await trx
        .deleteFrom('landfall.processing_steps')
        .where((is) => is.and(row))
        .execute()
      return true
    }
    await trx
      .updateTable('landfall.processing_steps')
      .set({
        status: outcome.status,
        detail: JSON.stringify(outcome.detail),
        // The same clock as for its beginning.
        finished_at: sql<Date>`clock_timestamp()`,
      })
      .where((is) => is.and(row))
      .execute()
    if (step === 'assemble' && outcome.status === 'done') await forgetParts(trx, mediaId)
    return true
  })
}

async function isRunning(
  trx: LedgerTransaction,
  { media_id, step, attempt }: { media_id: MediaId; step: string; attempt: number },
): Promise<boolean> {
  return await hasRow(trx)`
    select 1 from landfall.processing_steps
     where media_id = ${media_id} and step = ${step} and attempt = ${attempt} and status = 'running'`
}

/** The steps of a media item that are under way count for nothing: it was deleted while they were. */
export async function discardRunningSteps(trx: LedgerTransaction, mediaId: MediaId): Promise<void> {
  await run(trx)`
    update landfall.processing_steps
       set status = 'failed', finished_at = clock_timestamp(),
           detail = jsonb_build_object('error', 'the media item was deleted meanwhile')
     where media_id = ${mediaId} and status = 'running'`
}

/**
 * Deletes the running attempt at a step that waits for an unavailable dependency, so that records do not grow with the
 * wait.
 */
export async function forgetAttempt(
  db: Ledger,
  { mediaId, step, attempt }: { mediaId: MediaId; step: string; attempt: number },
): Promise<void> {
  await db
    .deleteFrom('landfall.processing_steps')
    .where('media_id', '=', mediaId)
    .where('step', '=', step)
    .where('attempt', '=', attempt)
    .where('status', '=', 'running')
    .execute()
}

/** The bytes of a file are one object: its parts are not needed any more. */
async function forgetParts(trx: LedgerTransaction, mediaId: MediaId): Promise<void> {
  await run(trx)`
    delete from landfall.upload_parts p using landfall.media m
     where m.id = ${mediaId} and p.upload_id = m.upload_id`
}
