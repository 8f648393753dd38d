import { sql } from 'kysely'
import type { Ledger, LedgerTransaction } from './database.ts'
import type { MediaId, OwnerId, UploadId } from './ids.ts'
import { inTurn } from './owner-share.ts'
import type { MediaStatus } from './schema.ts'
import type { DueMedia, Enqueue } from './uploads.ts'

export type RetryResult =
  /** It is, or already was, on its way. */
  | { kind: 'queued'; uploadId: UploadId }
  | { kind: 'absent' }
  /** It has ended by a verdict. */
  | { kind: 'over'; status: MediaStatus }

/** What a media is has been found out once and for all by these; all other steps are done again. */
const LASTING_STEPS = ['assemble', 'identify', 'scan', 'publish', 'notify']

/**
 * Has a media processed again: one that failed for reasons of ours becomes `processing` and goes on where it
 * stopped; one that is ready stays so, and its facts and renditions are made anew. `ownerId` undefined is for
 * operators: anybody's.
 */
export async function retryMedia(
  db: Ledger,
  media: { id: MediaId; ownerId: OwnerId | undefined },
  enqueue: Enqueue<readonly DueMedia[]>,
): Promise<RetryResult> {
  return await inTurn(db, media.ownerId ?? media.id, async (trx): Promise<RetryResult> => {
    const row = await trx
      .selectFrom('media')
      .select(['status', 'upload_id', 'size'])
      .where('id', '=', media.id)
      .$if(media.ownerId !== undefined, (query) => query.where('owner_id', '=', media.ownerId ?? ''))
      .forUpdate()
      .executeTakeFirst()
    if (!row || row.status === 'deleted') return { kind: 'absent' }
    const queued = { kind: 'queued', uploadId: row.upload_id as UploadId } as const
    switch (row.status) {
      case 'processing':
        return queued
      case 'failed':
        await sql`update landfall.media set status = 'processing', reason = null where id = ${media.id}`.execute(
          trx,
        )
        await askAgain(trx, media.id)
        break
      case 'ready':
        await trx
          .deleteFrom('processing_steps')
          .where('media_id', '=', media.id)
          .where('step', 'not in', LASTING_STEPS)
          .execute()
        await askAgain(trx, media.id)
        break
      default:
        return { kind: 'over', status: row.status }
    }
    await enqueue(trx, [{ id: media.id, size: row.size }])
    return queued
  })
}

/**
 * The engine is asked for anew, unless it has come to a verdict or is still at it. That it is at it, the step finds
 * out itself.
 */
async function askAgain(trx: LedgerTransaction, id: MediaId): Promise<void> {
  await sql`
    update landfall.media
       set is_parked = false,
           analysis = case when analysis ->> 'verdict' is not null or analysis_due_at > now() then analysis end,
           analysis_due_at = case when analysis_due_at > now() then analysis_due_at end
     where id = ${id}`.execute(trx)
  await trx.deleteFrom('processing_steps').where('media_id', '=', id).where('step', '=', 'analysis').execute()
}

/** Media that failed for reasons of ours, oldest first. */
export async function failedMedia(db: Ledger, limit: number): Promise<MediaId[]> {
  const rows = await db
    .selectFrom('media')
    .select('id')
    .where('status', '=', 'failed')
    .orderBy('created_at')
    .limit(limit)
    .execute()
  return rows.map(({ id }) => id as MediaId)
}
