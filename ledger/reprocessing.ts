import type { Ledger, LedgerTransaction } from './database.ts'
import type { DueMedia, EnqueueProcessing } from './due-work.ts'
import type { MediaId, OwnerId, UploadId } from './ids.ts'
import { withOwnerLock } from './owner-share.ts'
import { takeTurn, turnClock } from './processing-turns.ts'
import { run } from './rows.ts'
import type { MediaStatus } from './schema.ts'
import { LASTING_STEPS } from './steps.ts'

export type ReprocessResult =
  /** It is enqueued, now or already before. */
  | { kind: 'queued'; uploadId: UploadId }
  | { kind: 'absent' }
  /** It has ended by a verdict. */
  | { kind: 'over'; status: MediaStatus }

/**
 * Has a media item processed again. A failed one becomes `processing` and continues where it stopped. A ready one stays
 * ready while its facts and renditions are made again; requests before a worker begins count as one. `ownerId`
 * undefined, for operators: of any owner.
 */
export async function reprocessMedia(
  db: Ledger,
  media: { id: MediaId; ownerId: OwnerId | undefined },
  enqueue: EnqueueProcessing,
): Promise<ReprocessResult> {
  const { ownerId } = media
  return await withOwnerLock(db, ownerId ?? media.id, async (trx): Promise<ReprocessResult> => {
    const row = await trx
      .selectFrom('landfall.media')
      .select(['id', 'status', 'upload_id', 'size', 'owner_id as ownerId', 'is_asked_again'])
      .where('id', '=', media.id)
      .where((is) => (ownerId === undefined ? is.lit(true) : is('owner_id', '=', ownerId)))
      .forUpdate()
      .executeTakeFirst()
    if (!row || row.status === 'deleted') return { kind: 'absent' }
    const queued = { kind: 'queued', uploadId: row.upload_id } as const
    switch (row.status) {
      case 'processing':
        return queued
      case 'failed':
        await run(trx)`update landfall.media set status = 'processing', reason = null where id = ${media.id}`
        await markForReprocessing(trx, media.id)
        break
      case 'ready':
        await trx
          .deleteFrom('landfall.processing_steps')
          .where('media_id', '=', media.id)
          .where('step', 'not in', LASTING_STEPS)
          .execute()
        await markForReprocessing(trx, media.id)
        // It already waits for a worker, which will find no step done.
        if (row.is_asked_again) return queued
        break
      default:
        return { kind: 'over', status: row.status }
    }
    await enqueueAgain(trx, row, enqueue)
    return queued
  })
}

/** Asks the analysis engine again, unless it has given a verdict. The step checks whether it is still working. */
async function markForReprocessing(trx: LedgerTransaction, id: MediaId): Promise<void> {
  await run(trx)`
    update landfall.media
       set is_parked = false, is_asked_again = true,
           analysis = case when analysis ->> 'verdict' is not null or analysis_due_at > now() then analysis end,
           analysis_due_at = case when analysis_due_at > now() then analysis_due_at end
     where id = ${id}`
  await trx
    .deleteFrom('landfall.processing_steps')
    .where('media_id', '=', id)
    .where('step', '=', 'analysis')
    .execute()
}

/**
 * Has the steps of a restored media item continued that its deletion has kept from being done. Those that are done are not
 * repeated.
 */
export async function askAgain(
  trx: LedgerTransaction,
  media: Omit<DueMedia, 'turn' | 'again'>,
  enqueue: EnqueueProcessing,
): Promise<void> {
  await markForReprocessing(trx, media.id)
  await enqueueAgain(trx, media, enqueue)
}

/** Failed media items, oldest first. */
export async function failedMedia(db: Ledger, limit: number): Promise<MediaId[]> {
  const rows = await db
    .selectFrom('landfall.media')
    .select('id')
    .where('status', '=', 'failed')
    .orderBy('created_at')
    .limit(limit)
    .execute()
  return rows.map(({ id }) => id)
}

/**
 * Notes that a worker begins to process a media item again. This run answers all requests made so far. A later request
 * gets a run of its own.
 */
export async function beginReprocessing(db: Ledger, id: MediaId): Promise<void> {
  await db
    .updateTable('landfall.media')
    .set({ is_asked_again: false })
    .where('id', '=', id)
    .where('is_asked_again', '=', true)
    .execute()
}

/** Enqueues a media item again that was requested while a worker processed it. Call it when that job is over. */
export async function enqueueReprocessing(
  db: Ledger,
  id: MediaId,
  enqueue: EnqueueProcessing,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    // A concurrent request has the row locked and finds that the job is over, or is seen here.
    const media = await trx
      .selectFrom('landfall.media')
      .select(['id', 'size', 'owner_id as ownerId'])
      .where('id', '=', id)
      .where('is_asked_again', '=', true)
      .forUpdate()
      .executeTakeFirst()
    if (media) await enqueueAgain(trx, media, enqueue)
  })
}

async function enqueueAgain(
  trx: LedgerTransaction,
  { id, ownerId, size }: Omit<DueMedia, 'turn'>,
  enqueue: EnqueueProcessing,
): Promise<void> {
  const turn = await takeTurn(trx, { kind: 'again', ownerId, size })
  await enqueue(trx, [{ id, ownerId, size, turn, again: true }])
}

/**
 * Enqueues media items again that are to be reprocessed and may have lost their job, at most `limit`; an existing job
 * is kept. Returns how many were looked at.
 */
export async function enqueueLostReprocessing(
  db: Ledger,
  limit: number,
  enqueue: EnqueueProcessing,
): Promise<number> {
  return await db.transaction().execute(async (trx) => {
    const rows = await trx
      .selectFrom('landfall.media')
      .select(['id', 'owner_id as ownerId', 'size', turnClock('again').as('turn')])
      .where('is_asked_again', '=', true)
      .where('status', 'in', ['ready', 'processing'])
      .limit(limit)
      .forUpdate()
      .skipLocked()
      .execute()
    const lost = rows.map((media) => ({ ...media, again: true }))
    if (lost.length > 0) await enqueue(trx, lost)
    return lost.length
  })
}

/** Notes a request for a ready media item that the previous release made by a plain job. */
export async function requestReprocessing(
  db: Ledger,
  id: MediaId,
  enqueue: EnqueueProcessing,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('landfall.media')
    .set({ is_asked_again: true })
    .where('id', '=', id)
    .where('status', '=', 'ready')
    .executeTakeFirst()
  if (numUpdatedRows === 0n) return false
  await enqueueReprocessing(db, id, enqueue)
  return true
}
