import { type RawBuilder, sql } from 'kysely'
import type { Ledger, LedgerTransaction } from './database.ts'
import type { EnqueueRemoval } from './due-work.ts'
import { logEvents, mediaEvent } from './event-log.ts'
import type { MediaId, OwnerId, UploadId } from './ids.ts'
import { removeLinks } from './media-links.ts'
import { withOwnerLock } from './owner-share.ts'
import { giveBackUsed } from './quotas.ts'
import { type DuePage, pageOf } from './reaping.ts'
import { rowsOf, run } from './rows.ts'

// A media item is purged once: its bytes are given up, and count no more. Nothing brings it back.

export type Purged = {
  id: MediaId
  uploadId: UploadId
  /** It was not deleted before. */
  wasLive: boolean
}

/** Media items that were deleted longer than `retentionMs` ago and still have their bytes: a page of `limit`. */
export async function mediaToPurge(
  db: Ledger,
  retentionMs: number,
  limit: number,
  after: DuePage<MediaId>['next'],
): Promise<DuePage<MediaId>> {
  const rows = await rowsOf<{ id: MediaId; at: string }>(db)`
    select id, deleted_at::text as at from landfall.media
     where status = 'deleted' and purged_at is null and ${isOver(retentionMs)}
       and (deleted_at, id) > (${after?.at ?? '-infinity'}::timestamptz, ${after?.id ?? ''})
     order by deleted_at, id limit ${limit}`
  return pageOf(rows, limit)
}

/** It was deleted that long ago. */
const isOver = (retentionMs: number) =>
  sql`deleted_at <= now() - make_interval(secs => ${retentionMs / 1000})`

/**
 * Purges those of these media items that are deleted, and were so for `retentionMs`: one that was restored meanwhile, and
 * maybe deleted anew, is left. Returns those it purged.
 */
export async function purgeMedia(
  db: Ledger,
  ids: readonly MediaId[],
  enqueueRemoval: EnqueueRemoval,
  retentionMs = 0,
): Promise<Purged[]> {
  return await db.transaction().execute((trx) =>
    purge(
      trx,
      sql`select id, false as was_live from landfall.media
           where id = any(${ids}::text[]) and status = 'deleted' and purged_at is null and ${isOver(retentionMs)}
           order by id for update skip locked`,
      enqueueRemoval,
    ),
  )
}

/** Purges those of these media items of an owner that are not purged yet, deleted before or not. Returns those it purged. */
export async function purgeNow(
  db: Ledger,
  ownerId: OwnerId,
  ids: readonly MediaId[],
  enqueueRemoval: EnqueueRemoval,
): Promise<Purged[]> {
  return await withOwnerLock(db, ownerId, async (trx) => {
    // A statement of its own, or the next one would not see how a rejection that held the lock has charged the quota.
    await run(trx)`
      select 1 from landfall.media
       where id = any(${ids}::text[]) and owner_id = ${ownerId} order by id for update`
    const due = sql`
      select id, status <> 'deleted' as was_live from landfall.media
       where id = any(${ids}::text[]) and owner_id = ${ownerId} and purged_at is null`
    return await purge(trx, due, enqueueRemoval)
  })
}

/** Purges the media items of these uploads, in a transaction that has locked them all. Enqueues no removal. */
export const purgeLocked = (trx: LedgerTransaction, uploadIds: readonly UploadId[]): Promise<Purged[]> =>
  purge(
    trx,
    sql`select id, status <> 'deleted' as was_live from landfall.media
         where upload_id = any(${uploadIds}::text[]) and purged_at is null`,
    async () => {},
  )

/**
 * Purges the locked rows that `due` selects, `id` and `was_live`: quota released, unless a rejection did so, links
 * removed, events written, and removal of bytes and renditions enqueued. What was said of them is removed when that is told:
 * `shedMetadata`.
 */
async function purge(
  trx: LedgerTransaction,
  due: RawBuilder<unknown>,
  enqueueRemoval: EnqueueRemoval,
): Promise<Purged[]> {
  const purged = await rowsOf<Purged>(trx)`
    with due as materialized (
      ${due}
    ), purged as (
      update landfall.media m
         set status = 'deleted', deleted_at = coalesce(m.deleted_at, now()), purged_at = now()
        from due where m.id = due.id
      returning m.id, m.upload_id, m.owner_id, m.size, due.was_live
    ), charged as (
      select p.owner_id, p.size
        from purged p join landfall.uploads u on u.id = p.upload_id where u.state <> 'rejected'
    ), freed as (
      ${giveBackUsed('charged')}
    ), links as (
      ${removeLinks('purged')}
    ), shedding as (
      update landfall.uploads u set sheds = true from purged p where u.id = p.upload_id
    ), ${logEvents(mediaEvent('purged', 'media.deleted', { where: sql`was_live` }), mediaEvent('purged', 'media.purged'))}
    select id, upload_id as "uploadId", was_live as "wasLive" from purged`
  for (const { uploadId } of purged) await enqueueRemoval(trx, uploadId)
  return purged
}
