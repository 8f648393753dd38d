import { isDeepStrictEqual } from 'node:util'
import { sql } from 'kysely'
import type { AnalysisReport } from './analysis-report.ts'
import type { Ledger, LedgerTransaction } from './database.ts'
import type { DueMedia, Enqueue } from './due-work.ts'
import type { MediaId, OwnerId, UploadId } from './ids.ts'
import { AT_ONCE } from './processing-turns.ts'
import type { Analysis } from './schema.ts'

/** Whether an engine has said what it had to say, or its time is over. */
export const isOver = ({ status }: Analysis): boolean => status === 'finished' || status === 'failed'

/**
 * Notes that an engine is asked about a media and has so much time from now, unless it has been asked before.
 * Returns the analysis as it is; undefined when the media has ended.
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
  const { rows } = await sql<{ analysis: Analysis }>`
    update landfall.media
       set analysis = coalesce(analysis, ${JSON.stringify(analysis)}::jsonb),
           analysis_due_at = case when analysis is null then now() + make_interval(secs => ${timeoutMs / 1000})
                                  else analysis_due_at end
     where id = ${id} and status in ('processing', 'ready')
    returning analysis`.execute(db)
  return rows[0]?.analysis
}

/**
 * Notes that a media item waits for its analysis. When the analysis ends, processing goes on.
 * Returns false, and notes nothing, when it is over already.
 */
export async function parkMedia(db: Ledger, id: MediaId): Promise<boolean> {
  const { rows } = await sql`
    update landfall.media set is_parked = true
     where id = ${id} and status = 'processing'
       and coalesce(analysis ->> 'status', '') not in ('finished', 'failed')
    returning id`.execute(db)
  return rows.length > 0
}

export type RecordOptions = {
  /** Has a media processed on that waits for the outcome. */
  resume: Enqueue<readonly DueMedia[]>
  /** When the question was asked that this answers, as the analysis says; undefined where that is not known. */
  requestedAt?: string | undefined
}

export type RecordResult =
  | { kind: 'recorded'; uploadId: UploadId; analysis: Analysis }
  /** It was said before. */
  | { kind: 'known'; analysis: Analysis }
  /** The analysis has another id, or another outcome. */
  | { kind: 'contradiction' }
  /** There is no such media, or nobody has asked about it. */
  | { kind: 'absent' }

/** Writes down what an engine says of a media; its outcome with an event, once. */
export async function recordAnalysis(
  db: Ledger,
  id: MediaId,
  report: AnalysisReport,
  { resume, requestedAt }: RecordOptions,
): Promise<RecordResult> {
  return await db.transaction().execute(async (trx): Promise<RecordResult> => {
    const media = await trx
      .selectFrom('media')
      .select(['analysis', 'status', 'upload_id', 'owner_id', 'size', 'is_parked'])
      .where('id', '=', id)
      // One that failed can be processed again.
      .where('status', 'in', ['processing', 'ready', 'failed'])
      .forUpdate()
      .executeTakeFirst()
    const known = media?.analysis
    if (!media || !known) return { kind: 'absent' }
    const isOfAnother = requestedAt !== undefined && Date.parse(requestedAt) !== Date.parse(known.requestedAt)
    if (isOfAnother || (known.id !== null && known.id !== report.analysisId)) return { kind: 'contradiction' }
    const said = merged(known, report)
    if (isOver(known))
      return isDeepStrictEqual({ ...said, finishedAt: null }, { ...known, finishedAt: null })
        ? { kind: 'known', analysis: known }
        : { kind: 'contradiction' }
    await trx
      .updateTable('media')
      .set({
        analysis: JSON.stringify(said),
        ...(isOver(said) ? { analysis_due_at: null, is_parked: false } : {}),
      })
      .where('id', '=', id)
      .execute()
    const { upload_id, owner_id } = media
    if (isOver(said)) {
      await logOutcome(trx, { id, upload_id, owner_id }, said)
      if (media.status === 'processing' && media.is_parked)
        await resume(trx, [{ id, ownerId: owner_id, size: media.size, turn: AT_ONCE }])
    }
    return { kind: 'recorded', uploadId: upload_id, analysis: said }
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

/**
 * Ends analyses whose engine has not come to an end in time, at most `limit`, and has the files that may wait for
 * them processed on. Returns their uploads.
 */
export async function endOverdueAnalyses(
  db: Ledger,
  limit: number,
  resume: Enqueue<readonly DueMedia[]>,
): Promise<UploadId[]> {
  return await db.transaction().execute(async (trx) => {
    const overdue = await trx
      .selectFrom('media')
      .select(['id', 'analysis', 'status', 'upload_id', 'owner_id', 'size', 'is_parked'])
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
        .updateTable('media')
        .set({
          analysis_due_at: null,
          is_parked: false,
          ...(ended && isWanted ? { analysis: JSON.stringify(ended) } : {}),
        })
        .where('id', '=', media.id)
        .execute()
      if (ended && isWanted) await logOutcome(trx, media, ended)
    }
    const waiting = overdue.filter(({ status, is_parked }) => status === 'processing' && is_parked)
    if (waiting.length > 0)
      await resume(
        trx,
        waiting.map(({ id, owner_id, size }) => ({
          id,
          ownerId: owner_id,
          size,
          turn: AT_ONCE,
        })),
      )
    return overdue.map((media) => media.upload_id)
  })
}

async function logOutcome(
  trx: LedgerTransaction,
  media: { id: MediaId; upload_id: UploadId; owner_id: OwnerId },
  { status, verdict, confidence }: Analysis,
): Promise<void> {
  await trx
    .insertInto('events')
    .values({
      type: 'analysis.finished',
      upload_id: media.upload_id,
      media_id: media.id,
      owner_id: media.owner_id,
      data: JSON.stringify({ status, verdict, confidence }),
    })
    .execute()
}
