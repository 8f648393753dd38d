import { type Selectable, sql } from 'kysely'
import { ASYNC_COMMIT, type Ledger } from './database.ts'
import type { EnqueueRemoval } from './due-work.ts'
import { logEvents, mediaEvent } from './event-log.ts'
import type { EventType } from './event-types.ts'
import type { MediaId, OwnerId, UploadId } from './ids.ts'
import { withOwnerLock, withOwnerShare } from './owner-share.ts'
import { prepared } from './prepared.ts'
import { giveBackUsed } from './quotas.ts'
import { enqueueUnpublishing } from './removal.ts'
import { firstValue, hasRow, rowsOf } from './rows.ts'
import type { MediaTable, Reason, RenditionsTable } from './schema.ts'
import type { UploadRow } from './uploads.ts'

export type MediaRow = Selectable<MediaTable> & { id: MediaId; owner_id: OwnerId; upload_id: UploadId }
/** A media item as its owner sees it. */
export type OwnMediaRow = MediaRow & {
  /** Kinds of its renditions. */
  renditions: string[]
  published_key: string | null
}
export type RenditionRow = Selectable<RenditionsTable>

export const renditionKinds = sql<string[]>`array(
  select r.kind from landfall.renditions r where r.media_id = media.id
)`.as('renditions')

export const publishedKey = sql<string | null>`(
  select storage_key from landfall.renditions r where r.media_id = media.id and r.kind = 'published'
)`.as('published_key')

/** The owner's media item; deleted and other owners' ones are not found. */
export async function findMedia(db: Ledger, ownerId: OwnerId, id: MediaId): Promise<OwnMediaRow | undefined> {
  const row = await withOwnerShare(db, ownerId)
    .selectFrom('landfall.media')
    .selectAll()
    .select([renditionKinds, publishedKey])
    .where('id', '=', id)
    .where('owner_id', '=', ownerId)
    .where('status', '<>', 'deleted')
    .executeTakeFirst()
  return row as OwnMediaRow | undefined
}

const WITH_REASON = { data: sql`jsonb_build_object('reason', reason)` }

type OwnedMedia = { id: MediaId; owner_id: OwnerId }

/** A rendition of a media item that its caller may see. */
export async function findRendition(
  db: Ledger,
  { id: mediaId, owner_id }: OwnedMedia,
  kind: string,
): Promise<RenditionRow | undefined> {
  return await withOwnerShare(db, owner_id)
    .selectFrom('landfall.renditions')
    .selectAll()
    .where('media_id', '=', mediaId)
    .where('kind', '=', kind)
    .executeTakeFirst()
}

/** All renditions of a media item that its caller may see. */
export async function findRenditions(
  db: Ledger,
  { id: mediaId, owner_id }: OwnedMedia,
): Promise<RenditionRow[]> {
  return await withOwnerShare(db, owner_id)
    .selectFrom('landfall.renditions')
    .selectAll()
    .where('media_id', '=', mediaId)
    .orderBy('kind')
    .execute()
}

/** Marks media items of an owner deleted, as `deleteMedia` does with one. Returns those that it deleted. */
export async function deleteMediaItems(
  db: Ledger,
  ownerId: OwnerId,
  ids: readonly MediaId[],
  enqueueRemoval: EnqueueRemoval,
): Promise<{ id: MediaId; uploadId: UploadId }[]> {
  return await withOwnerLock(db, ownerId, async (trx) => {
    const deleted = await rowsOf<{ id: MediaId; uploadId: UploadId }>(trx)`
      with live as (
        select id from landfall.media
         where id = any(${ids}::text[]) and owner_id = ${ownerId} and status <> 'deleted' order by id for update
      ), gone as (
        update landfall.media m set status = 'deleted', deleted_at = now()
          from live where m.id = live.id
        returning m.id, m.upload_id, m.owner_id
      ), ${logEvents(mediaEvent('gone', 'media.deleted'))}
      select id, upload_id as "uploadId" from gone`
    for (const { uploadId } of deleted) await enqueueUnpublishing(trx, uploadId, enqueueRemoval)
    return deleted
  })
}

/**
 * Marks the owner's media item deleted. Its bytes stay, and count, until it is purged; the removal of a public copy is
 * enqueued. Returns its upload, or undefined when there was nothing to delete.
 */
export async function deleteMedia(
  db: Ledger,
  ownerId: OwnerId,
  id: MediaId,
  enqueueRemoval: EnqueueRemoval,
): Promise<UploadId | undefined> {
  const [deleted] = await deleteMediaItems(db, ownerId, [id], enqueueRemoval)
  return deleted?.uploadId
}

// The rest is for the worker, which acts on the media item of its job, for no owner.

/** The media item of a job; undefined when the row is gone. */
export async function mediaForJob(db: Ledger, id: MediaId): Promise<MediaRow | undefined> {
  const row = await db.selectFrom('landfall.media').selectAll().where('id', '=', id).executeTakeFirst()
  return row as MediaRow | undefined
}

/** What the client declared about the file. */
export async function declarationOf(
  db: Ledger,
  uploadId: UploadId,
): Promise<Pick<UploadRow, 'filename' | 'declared_type' | 'digests' | 'terms'>> {
  return await db
    .selectFrom('landfall.uploads')
    .select(['filename', 'declared_type', 'digests', 'terms'])
    .where('id', '=', uploadId)
    .executeTakeFirstOrThrow()
}

export type MediaFacts = Partial<
  Pick<
    Selectable<MediaTable>,
    | 'content_type'
    | 'filename'
    | 'etag'
    | 'kind'
    | 'sha256'
    | 'duration_seconds'
    | 'width'
    | 'height'
    | 'coded_width'
    | 'coded_height'
    | 'picture_stream'
    | 'sound_stream'
    | 'renditions_skipped'
    | 'fps'
    | 'video_codec'
    | 'audio_codec'
    | 'has_audio'
    | 'bitrate'
    | 'quality'
    | 'thumbhash'
    | 'rotation'
    | 'is_hdr'
    | 'video_streams'
    | 'audio_streams'
    | 'captions'
    | 'scan_status'
  >
>

/** Records facts found by a step, unless the media item has ended. Idempotent. */
export async function recordFacts(db: Ledger, id: MediaId, facts: MediaFacts): Promise<void> {
  await db
    .updateTable('landfall.media')
    .set(facts)
    .where('id', '=', id)
    .where('status', 'in', ['processing', 'ready'])
    .execute()
}

/**
 * Records a rendition whose bytes are stored. Returns false when the media item has ended in the meantime: then the
 * caller has to remove the bytes. A media item that another worker made ready has not ended, and serves the bytes under
 * this key. Fails with `StorageBackendChanged` when the media item is in another backend now than these bytes. `event`
 * is written where there was no rendition of this kind.
 */
export async function recordRendition(
  db: Ledger,
  rendition: RenditionRow & { storage_backend: string },
  event?: EventType,
): Promise<boolean> {
  // A public copy is recorded before it is made, and stays recorded in any case.
  const isPublic = rendition.kind === 'published'
  const isRecorded = await hasRow(db)`
    with recorded as (
      insert into landfall.renditions (media_id, kind, storage_key, content_type, width, height, size)
      select id, ${rendition.kind}, ${rendition.storage_key}, ${rendition.content_type},
             ${rendition.width}::integer, ${rendition.height}::integer, ${rendition.size}::bigint
        from landfall.media cross join (select ${isPublic ? sql`null` : ASYNC_COMMIT}) lazily
       where id = ${rendition.media_id} and status in ('processing', 'ready')
         and storage_backend = ${rendition.storage_backend}
         ${
           isPublic
             ? sql`and not exists (
           select 1 from landfall.renditions u where u.media_id = media.id and u.kind = 'unpublished'
         )`
             : sql``
         } for update of media
      on conflict (media_id, kind) do update set
        storage_key = excluded.storage_key, content_type = excluded.content_type,
        width = excluded.width, height = excluded.height, size = excluded.size
      -- An updated row has been locked by its update, a new one by nobody.
      returning media_id, xmax = 0 as is_new
    ), made as (
      select m.upload_id, m.id, m.owner_id from recorded r join landfall.media m on m.id = r.media_id where r.is_new
    )${event ? sql`, ${logEvents(mediaEvent('made', event))}` : sql``}
    select media_id from recorded`
  if (isRecorded) return true
  const now = await mediaForJob(db, rendition.media_id)
  if (now && now.storage_backend !== rendition.storage_backend) throw new StorageBackendChanged()
  return false
}

/** The media item has moved to another backend than its new rendition. */
export class StorageBackendChanged extends Error {
  constructor() {
    super('the media item was moved to another storage meanwhile')
    this.name = 'StorageBackendChanged'
  }
}

/** Deletes the record of a rendition that is to be replaced or is not needed. */
export async function dropRendition(db: Ledger, mediaId: MediaId, kind: string): Promise<void> {
  await db
    .deleteFrom('landfall.renditions')
    .where('media_id', '=', mediaId)
    .where('kind', '=', kind)
    .execute()
}

/** `processing` → `ready`, with its event. Returns false when the media item had already ended. */
export async function publishMedia(db: Ledger, id: MediaId): Promise<boolean> {
  return (await publish(db, { id })).length > 0
}

const publish = prepared<{ id: MediaId }, { id: MediaId }>(
  (slot) => sql`
    with ready as (
      update landfall.media set status = 'ready', ready_at = now()
       where id = ${slot('id')} and status = 'processing' returning id, upload_id, owner_id
    ), ${logEvents(mediaEvent('ready', 'media.ready'))}
    select id from ready`,
)

/**
 * `processing` → `rejected`: reason recorded on media item and upload, quota released, events written, removal of bytes
 * and renditions enqueued, in one transaction. Returns false when the media item had already ended.
 */
export async function rejectMedia(
  db: Ledger,
  id: MediaId,
  reason: Reason,
  enqueueRemoval: EnqueueRemoval,
): Promise<boolean> {
  const json = JSON.stringify(reason)
  return await db.transaction().execute(async (trx) => {
    const uploadId = await firstValue<UploadId>(trx)`
      with rejected as (
        update landfall.media set status = 'rejected', reason = ${json}::jsonb
         where id = ${id} and status = 'processing' returning id, upload_id, owner_id, size, reason
      ), upload as (
        update landfall.uploads u set state = 'rejected', reject = ${json}::jsonb, updated_at = now()
          from rejected r where u.id = r.upload_id
      ), freed as (${giveBackUsed('rejected')}), ${logEvents(mediaEvent('rejected', 'media.rejected', WITH_REASON), mediaEvent('rejected', 'upload.rejected', WITH_REASON))}
      select upload_id from rejected`
    if (uploadId) await enqueueRemoval(trx, uploadId)
    return uploadId !== undefined
  })
}

/**
 * `processing` → `failed`. Bytes and quota stay; the removal of a public copy is enqueued. Returns the upload, or
 * undefined when the media item had already ended.
 */
export async function failMedia(
  db: Ledger,
  id: MediaId,
  reason: Reason,
  enqueueRemoval: EnqueueRemoval,
): Promise<UploadId | undefined> {
  const json = JSON.stringify(reason)
  return await db.transaction().execute(async (trx) => {
    const uploadId = await firstValue<UploadId>(trx)`
      with failed as (
        update landfall.media set status = 'failed', reason = ${json}::jsonb
         where id = ${id} and status = 'processing' returning id, upload_id, owner_id, reason
      ), ${logEvents(mediaEvent('failed', 'media.failed', WITH_REASON))}
      select upload_id from failed`
    if (uploadId) await enqueueUnpublishing(trx, uploadId, enqueueRemoval)
    return uploadId
  })
}
