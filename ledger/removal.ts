import { sql } from 'kysely'
import type { Ledger, LedgerTransaction } from './database.ts'
import type { EnqueueRemoval } from './due-work.ts'
import { isStoredEnded } from './expiry.ts'
import type { MediaId, UploadId } from './ids.ts'
import { hasRow, run } from './rows.ts'

/**
 * Whether the bytes of an upload have to be removed: it expired, was rejected, was terminated before it became a media
 * item, or its media item is purged. A media item that is only deleted keeps them.
 */
const isToBeRemoved = sql<boolean>`(
  (${isStoredEnded('uploads')} and (uploads.state <> 'terminated' or uploads.media_id is null))
  or exists (select 1 from landfall.media m where m.upload_id = uploads.id and m.purged_at is not null)
)`

/** Whether a public copy is to be removed: `withdrawPublicCopy` has decided so. */
const isToBeUnpublished = sql<boolean>`(renditions.kind = 'unpublished')`

/**
 * Decides that the public copy of an upload is removed, where its media item is not available any more. From then on until
 * its record is gone no other is made, as both have the same key: one who restores the media item meanwhile gets a new one
 * afterwards.
 */
export async function withdrawPublicCopy(db: Ledger, uploadId: UploadId): Promise<void> {
  await run(db)`
    with ended as (
      select id from landfall.media
       where upload_id = ${uploadId} and status in ('deleted', 'rejected', 'failed') for update
    )
    update landfall.renditions r set kind = 'unpublished'
      from ended where r.media_id = ended.id and r.kind = 'published'`
}

/** Whether the former public copy of a media item may still be being removed. */
export async function isCopyLeaving(db: Ledger, id: MediaId): Promise<boolean> {
  return await hasRow(db)`
    select 1 from landfall.renditions where media_id = ${id} and kind = 'unpublished'`
}

/** Whether the media item of an upload is available: nobody ended it, or it was restored. */
export async function isMediaAvailable(db: Ledger, uploadId: UploadId): Promise<boolean> {
  return await hasRow(db)`
    select 1 from landfall.media where upload_id = ${uploadId} and status in ('processing', 'ready')`
}

export type Removal = {
  storage_backend: string
  /** Everything of the upload is removed; otherwise only `renditionKeys`. */
  isWhole: boolean
  media: { id: MediaId; storage_key: string } | undefined
  /** Recorded renditions to remove. */
  renditionKeys: string[]
  /** Which of them is a public copy. */
  publishedKey: string | undefined
}

/** What has to be removed of an ended upload; undefined when there is no such upload. */
export async function findRemoval(db: Ledger, uploadId: UploadId): Promise<Removal | undefined> {
  const upload = await db
    .selectFrom('landfall.uploads as uploads')
    .leftJoin('landfall.media as media', 'media.upload_id', 'uploads.id')
    .select(['uploads.storage_backend', 'media.id as media_id', 'media.storage_key'])
    .select(isToBeRemoved.as('is_whole'))
    .where('uploads.id', '=', uploadId)
    .executeTakeFirst()
  if (!upload) return undefined
  const { is_whole: isWhole, media_id: id, storage_backend, storage_key } = upload
  const renditions = await db
    .selectFrom('landfall.renditions as renditions')
    .innerJoin('landfall.media as media', 'media.id', 'renditions.media_id')
    .innerJoin('landfall.uploads as uploads', 'uploads.id', 'media.upload_id')
    .select(['renditions.kind', 'renditions.storage_key'])
    .where('uploads.id', '=', uploadId)
    .where((is) => is.or([isToBeRemoved, isToBeUnpublished]))
    .execute()
  return {
    storage_backend,
    isWhole,
    media: id === null || storage_key === null ? undefined : { id, storage_key },
    renditionKeys: renditions.map((rendition) => rendition.storage_key),
    publishedKey: renditions.find(({ kind }) => kind === 'unpublished' || kind === 'published')?.storage_key,
  }
}

/** Deletes the records of the renditions that `findRemoval` names, once their bytes are gone. */
export async function forgetRenditions(db: Ledger, uploadId: UploadId): Promise<void> {
  await db
    .deleteFrom('landfall.renditions as renditions')
    .using(['landfall.media as media', 'landfall.uploads as uploads'])
    .whereRef('media.id', '=', 'renditions.media_id')
    .whereRef('uploads.id', '=', 'media.upload_id')
    .where('uploads.id', '=', uploadId)
    .where((is) => is.or([isToBeRemoved, isToBeUnpublished]))
    .execute()
}

/**
 * Enqueues the removal of a media item's public copy, in the transaction that makes the media item unavailable. Call it
 * after changing the row: a copy is recorded, under a lock on that row, before it is made, so it is either seen here or
 * never made.
 */
export async function enqueueUnpublishing(
  trx: LedgerTransaction,
  uploadId: UploadId,
  enqueueRemoval: EnqueueRemoval,
): Promise<void> {
  const published = await trx
    .selectFrom('landfall.renditions as renditions')
    .innerJoin('landfall.media as media', 'media.id', 'renditions.media_id')
    .select('media.id')
    .where('media.upload_id', '=', uploadId)
    .where('renditions.kind', '=', 'published')
    .executeTakeFirst()
  if (published) await enqueueRemoval(trx, uploadId)
}
