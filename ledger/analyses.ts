import { isDeepStrictEqual } from 'node:util'
import { sql } from 'kysely'
import type { AnalysisReport } from './analysis-report.ts'
import type { Ledger, LedgerTransaction } from './database.ts'
import type { EnqueueProcessing } from './due-work.ts'
import { logEvents, mediaEvent } from './event-log.ts'
import type { MediaId, UploadId } from './ids.ts'
import { AT_ONCE } from './processing-turns.ts'
import { firstValue, hasRow, run } from './rows.ts'
import type { Analysis } from './schema.ts'

/** Whether an analysis has a result, or its time is over. */
export const isOver = ({ status }: Analysis): boolean => status === 'finished' || status === 'failed'

/**
 * Records that an engine is asked about a media item and starts its time, unless it has been asked before. Returns the
 * current analysis; undefined when the media item has ended.
 */
export async function beginAnalysis(
  db: Ledger,
  id: MediaId,
  timeoutMs: number,
): Promise<Analysis | undefined> {
  const analysis: Analysis = {
    id: null,
    status: 'requested',
    result: null,
    confidence: null,
    verdict: null,
    estimatedSeconds: null,
    url: null,
    requestedAt: new Date().toISOString(),
    finishedAt: null,
  }
  return await firstValue<Analysis>(db)`
    update landfall.media
       set analysis = coalesce(analysis, ${JSON.stringify(analysis)}::jsonb),
           analysis_due_at = case when analysis is null then now() + make_interval(secs => ${timeoutMs / 1000})
                                  else analysis_due_at end
     where id = ${id} and status in ('processing', 'ready')
    returning analysis`
}

/**
 * Records that processing of a media item waits for its analysis, and continues when that ends. Returns false, and
 * records nothing, when the analysis is over already.
 */
export async function parkMedia(db: Ledger, id: MediaId): Promise<boolean> {
  return await hasRow(db)`
    update landfall.media set is_parked = true
     where id = ${id} and status = 'processing'
       and coalesce(analysis ->> 'status', '') not in ('finished', 'failed')
    returning id`
}

export type RecordOptions = {
  /** Enqueues the rest of the processing that waits for the result. */
  resume: EnqueueProcessing
  /** When the request was made that this answers, if the engine says so. */
  requestedAt?: string | undefined
}

export type RecordResult =
  | { kind: 'recorded'; uploadId: UploadId; analysis: Analysis }
  /** It was recorded before. */
  | { kind: 'known'; analysis: Analysis }
  /** The recorded analysis has another id, or another result. */
  | { kind: 'contradiction' }
  /** No such media item, or no engine was asked about it. */
  | { kind: 'absent' }

/** Records an engine's report on a media item; the result with an event, once. */
export async function recordAnalysis(
  db: Ledger,
  id: MediaId,
  report: AnalysisReport,
  { resume, requestedAt }: RecordOptions,
): Promise<RecordResult> {
  return await db.transaction().execute(async (trx): Promise<RecordResult> => {
    const media = await trx
      .selectFrom('landfall.media')
      .select(['analysis', 'status', 'upload_id as uploadId', 'owner_id as ownerId', 'size', 'is_parked'])
      .where('id', '=', id)
      // A failed one can be processed again.
      .where('status', 'in', ['processing', 'ready', 'failed'])
      .forUpdate()
      .executeTakeFirst()
    const known = media?.analysis
    if (!media || !known) return { kind: 'absent' }
    const isOfAnother = requestedAt !== undefined && Date.parse(requestedAt) !== Date.parse(known.requestedAt)
    if (isOfAnother || (known.id !== null && known.id !== report.analysisId)) return { kind: 'contradiction' }
    const updated = merged(known, report)
    if (isOver(known))
      return isDeepStrictEqual({ ...updated, finishedAt: null }, { ...known, finishedAt: null })
        ? { kind: 'known', analysis: known }
        : { kind: 'contradiction' }
    await trx
      .updateTable('landfall.media')
      .set({
        analysis: JSON.stringify(updated),
        ...(isOver(updated) ? { analysis_due_at: null, is_parked: false } : {}),
      })
      .where('id', '=', id)
      .execute()
    const { uploadId, ownerId, size } = media
    if (isOver(updated)) {
      await logOutcome(trx, id, updated)
      if (media.status === 'processing' && media.is_parked)
        await resume(trx, [{ id, ownerId, size, turn: AT_ONCE }])
    }
    return { kind: 'recorded', uploadId, analysis: updated }
  })
}

function merged(known: Analysis, report: AnalysisReport): Analysis {
  const isEnd = report.status !== 'pending'
  return {
    ...known,
    id: report.analysisId,
    status: report.status,
    result: isEnd ? (report.result ?? null) : null,
    confidence: isEnd ? (report.confidence ?? null) : null,
    verdict: report.status === 'finished' ? (report.verdict ?? null) : null,
    estimatedSeconds: report.estimatedSeconds ?? known.estimatedSeconds,
    url: report.url ?? known.url,
    finishedAt: isEnd ? new Date().toISOString() : null,
  }
}

/** Ends overdue analyses, at most `limit`, and enqueues the files that may wait for them. Returns their uploads. */
export async function endOverdueAnalyses(
  db: Ledger,
  limit: number,
  resume: EnqueueProcessing,
): Promise<UploadId[]> {
  return await db.transaction().execute(async (trx) => {
    const overdue = await trx
      .selectFrom('landfall.media')
      .select(['id', 'analysis', 'status', 'upload_id', 'owner_id as ownerId', 'size', 'is_parked'])
      .where('analysis_due_at', '<', sql<Date>`now()`)
      .orderBy('analysis_due_at')
      .limit(limit)
      .forUpdate()
      .skipLocked()
      .execute()
    for (const { analysis, ...media } of overdue) {
      const isWanted = media.status !== 'deleted' && media.status !== 'rejected'
      const ended =
        analysis && ({ ...analysis, status: 'failed', finishedAt: new Date().toISOString() } as const)
      await trx
        .updateTable('landfall.media')
        .set({
          analysis_due_at: null,
          is_parked: false,
          ...(ended && isWanted ? { analysis: JSON.stringify(ended) } : {}),
        })
        .where('id', '=', media.id)
        .execute()
      if (ended && isWanted) await logOutcome(trx, media.id, ended)
    }
    const waiting = overdue
      .filter(({ status, is_parked }) => status === 'processing' && is_parked)
      .map(({ id, ownerId, size }) => ({ id, ownerId, size, turn: AT_ONCE }))
    if (waiting.length > 0) await resume(trx, waiting)
    return overdue.map((media) => media.upload_id)
  })
}

async function logOutcome(
  trx: LedgerTransaction,
  id: MediaId,
  { status, verdict, confidence }: Analysis,
): Promise<void> {
  const data = sql`${JSON.stringify({ status, verdict, confidence })}::jsonb`
  await run(trx)`
    with ended as (select id, upload_id, owner_id from landfall.media where id = ${id}),
    ${logEvents(mediaEvent('ended', 'analysis.finished', { data }))}
    select id from ended`
}
