import { sql } from 'kysely'
import type { Ledger, LedgerTransaction } from './database.ts'
import type { DueMedia, EnqueueProcessing } from './due-work.ts'
import { logEvents, mediaEvent } from './event-log.ts'
import type { MediaId, OwnerId, UploadId } from './ids.ts'
import { withOwnerLock } from './owner-share.ts'
import { askAgain } from './reprocessing.ts'
import { rowsOf, run } from './rows.ts'
import type { MediaStatus } from './schema.ts'
import { discardRunningSteps } from './steps.ts'

/** What became of a request to restore a media item; `absent`: the owner has none with this id. */
export type Restored = {
  id: MediaId
  uploadId: UploadId
  /** `live`: it was not deleted. `purged`: its bytes are given up. */
  outcome: 'restored' | 'live' | 'purged'
}

/** The status that a deleted media item had before. */
const formerStatus = sql<MediaStatus>`
  case when (select u.state from landfall.uploads u where u.id = m.upload_id) = 'rejected' then 'rejected'
       when m.reason is not null then 'failed'
       when m.ready_at is not null then 'ready'
       else 'processing' end`

/**
 * Takes back the deletion of these media items of an owner, unless they are purged: each has the status that it had, and
 * what was unfinished continues. The quota does not change, as deleted bytes count until they are purged. A public copy
 * that is being removed, or is gone, is made again. Returns all that the owner has of these.
 */
export async function restoreMedia(
  db: Ledger,
  ownerId: OwnerId,
  ids: readonly MediaId[],
  enqueue: EnqueueProcessing,
): Promise<Restored[]> {
  return await withOwnerLock(db, ownerId, async (trx) => {
    // The reaper, which skips locked rows, purges none of these from now on, and has committed those that it did.
    await run(trx)`
      select 1 from landfall.media
       where id = any(${ids}::text[]) and owner_id = ${ownerId} order by id for update`
    const found = await rowsOf<Restored & Omit<DueMedia, 'turn'> & { status: MediaStatus }>(trx)`
      with found as materialized (
        select id, upload_id, owner_id, size, status, purged_at from landfall.media
         where id = any(${ids}::text[]) and owner_id = ${ownerId}
      ), restored as (
        update landfall.media m set status = ${formerStatus}, deleted_at = null
          from found f where m.id = f.id and f.status = 'deleted' and f.purged_at is null
        returning m.id, m.upload_id, m.owner_id, m.status
      ), ${logEvents(mediaEvent('restored', 'media.restored', { data: sql`jsonb_build_object('status', status)` }))}
      select f.id, f.upload_id as "uploadId", f.owner_id as "ownerId", f.size, coalesce(r.status, f.status) as status,
             case when r.id is not null then 'restored' when f.purged_at is null then 'live' else 'purged' end as outcome
        from found f left join restored r on r.id = f.id order by f.id`
    for (const { status, outcome, id, ownerId, size } of found) {
      if (outcome !== 'restored' || (status !== 'ready' && status !== 'processing')) continue
      await discardRunningSteps(trx, id)
      if (status === 'ready') await forgetLostCopy(trx, id)
      await askAgain(trx, { id, ownerId, size }, enqueue)
    }
    return found.map(({ id, uploadId, outcome }) => ({ id, uploadId, outcome }))
  })
}

/** Has the step repeated that made a public copy which is gone, or is going. */
async function forgetLostCopy(trx: LedgerTransaction, id: MediaId): Promise<void> {
  const isLost = sql`not exists (
    select 1 from landfall.renditions r where r.media_id = ${id} and r.kind = 'published'
  )`
  await run(trx)`
    delete from landfall.processing_steps
     where media_id = ${id} and step = 'publish' and status = 'done' and detail ->> 'copy' is not null and ${isLost}`
  await run(trx)`
    update landfall.media set steps_behind = steps_behind - 'publish'
     where id = ${id} and steps_behind #>> '{publish,copy}' is not null and ${isLost}`
}
