import { sql } from 'kysely'
import type { Ledger, LedgerTransaction } from './database.ts'
import { isStoredUnended } from './expiry.ts'
import type { MediaId, OwnerId, UploadId } from './ids.ts'
import { firstRow, hasRow, onlyRow, rowsOf, run } from './rows.ts'
import type { Backend } from './storage-places.ts'
import { type HeldCopy, recordFormerCopy, takeCopy } from './stray-copies.ts'

/** One object of a media item, and the version of its row. */
export type MovableRendition = {
  kind: string
  storageKey: string
  contentType: string
  size: number
  version: string
}

/** A finished file in its backend, with its renditions; a partial upload has no media item. */
export type Movable = {
  uploadId: UploadId
  ownerId: OwnerId
  createdAt: Date
  backend: Backend
  storageKey: string
  size: number
  /** It is one object, and no pending call creates another. */
  isWhole: boolean
  /** As received; null where it was not computed yet. */
  sha256: string | null
  media: { id: MediaId; etag: string | null; contentType: string | null } | undefined
  renditions: MovableRendition[]
}

/** Media items that are not being processed. A deleted one keeps its bytes until it is purged. */
const isAtRest = sql<boolean>`m.purged_at is null and m.status in ('ready', 'failed', 'deleted')`

/** It has no public copy that is about to be removed. */
const isUnpublished = sql<boolean>`(not exists (
  select 1 from landfall.renditions r
   where r.media_id = m.id and (r.kind = 'unpublished' or (r.kind = 'published' and m.status <> 'ready'))
))`

/** No parts are left, and no pending call can create any. */
const isWhole = sql<boolean>`(u.multipart_id is null and not u.multipart_unsure
  and not exists (select 1 from landfall.upload_tails t where t.upload_id = u.id)
  and not exists (select 1 from landfall.upload_concat c where c.final_id = u.id))`

/** A partial upload that a concatenation still needs. */
const isWanted = sql<boolean>`(u.is_partial and u.is_finished and exists (
  select 1 from landfall.upload_concat c where c.partial_id = u.id
))`

/** A page of the media items of a backend that could be moved, by id. */
export async function mediaToMove(db: Ledger, from: Backend, after: string, limit: number) {
  return await rowsOf<{ id: MediaId; uploadId: UploadId }>(db)`
    select m.id, m.upload_id as "uploadId" from landfall.media m
     where m.storage_backend = ${from} and m.id > ${after} and ${isAtRest} order by m.id limit ${limit}`
}

/** What is left in a backend: media items at rest, those in processing, and open uploads. */
export async function countLeftToMove(db: Ledger, from: Backend) {
  return await onlyRow<{ atRest: number; processing: number; open: number }>(db)`
    select count(*) filter (where ${isAtRest}) as "atRest",
           count(*) filter (where m.status = 'processing') as processing,
           (select count(*) from landfall.uploads
             where storage_backend = ${from} and ${isStoredUnended()}) as open
      from landfall.media m where m.storage_backend = ${from} and m.purged_at is null`
}

/** Whether a job of these queues is running for a media item. */
export async function hasActiveJob(
  db: Ledger,
  mediaId: MediaId,
  queues: readonly string[],
): Promise<boolean> {
  return await hasRow(db)`
    select 1 from pgboss.job
     where name = any(${[...queues]}::text[]) and state = 'active' and data ->> 'mediaId' = ${mediaId} limit 1`
}

type Row = Omit<Movable, 'media' | 'renditions'> & {
  mediaId: MediaId | null
  etag: string | null
  contentType: string | null
}

/** A finished file as it is stored now; undefined where it cannot be moved now, or any more. */
export async function findMovable(
  db: Ledger,
  uploadId: UploadId,
  { isLocking = false } = {},
): Promise<Movable | undefined> {
  // The media item first: everything that ends both locks in this order.
  if (isLocking) await run(db)`select 1 from landfall.media where upload_id = ${uploadId} for update`
  const row = await firstRow<Row>(db)`
    select u.id as "uploadId", u.owner_id as "ownerId", u.created_at as "createdAt",
           ${isWhole} as "isWhole", u.storage_backend as backend, u.storage_key as "storageKey", u.size, m.sha256,
           m.id as "mediaId", m.etag, m.content_type as "contentType"
      from landfall.uploads u left join landfall.media m on m.upload_id = u.id
     where u.id = ${uploadId} and u.size is not null
       and case when m.id is null then ${isWanted} else ${isAtRest} and ${isUnpublished} end
     ${isLocking ? sql`for update of u` : sql``}`
  if (!row) return undefined
  const { mediaId: id, etag, contentType, ...upload } = row
  if (id === null) return { ...upload, media: undefined, renditions: [] }
  const renditions = await rowsOf<MovableRendition>(db)`
    select kind, storage_key as "storageKey", content_type as "contentType", size, xmin::text as version
      from landfall.renditions where media_id = ${id} order by kind`
  return { ...upload, media: { id, etag, contentType }, renditions }
}

/** The new location of a file and its renditions. */
export type Moved = {
  storageKey: string
  etag: string | null
  renditions: readonly { kind: string; storageKey: string }[]
}

/**
 * Serves a file from its copy from now on, if it is unchanged since it was read and the copy is still held. The former
 * copy is removed later, from `formerKeys`. Returns false where nothing was changed.
 */
export async function serveCopy(
  db: Ledger,
  change: { from: Movable; copy: HeldCopy; to: Moved; formerKeys: readonly string[] },
): Promise<boolean> {
  const { from, copy, to, formerKeys } = change
  return await db
    .transaction()
    .execute(async (trx) => {
      if (!(await takeCopy(trx, copy))) return false
      const now = await findMovable(trx, from.uploadId, { isLocking: true })
      if (JSON.stringify(now) !== JSON.stringify(from)) {
        // Rolls back: the copy stays recorded as stray.
        throw new Changed()
      }
      await write(trx, from, copy.backend, to)
      await recordFormerCopy(trx, { uploadId: from.uploadId, backend: from.backend }, formerKeys)
      return true
    })
    .catch((error: unknown) => {
      if (error instanceof Changed) return false
      throw error
    })
}

/** The file has changed since it was copied. */
class Changed extends Error {}

async function write(
  trx: LedgerTransaction,
  { uploadId, media }: Movable,
  backend: Backend,
  { storageKey, etag, renditions }: Moved,
): Promise<void> {
  await run(trx)`
    update landfall.uploads set storage_backend = ${backend}, storage_key = ${storageKey}, part_size = null
     where id = ${uploadId}`
  await run(trx)`delete from landfall.upload_parts where upload_id = ${uploadId}`
  if (!media) return
  await run(trx)`
    update landfall.media set storage_backend = ${backend}, storage_key = ${storageKey}, etag = ${etag}
     where id = ${media.id}`
  await run(trx)`
    update landfall.renditions r set storage_key = n."storageKey"
      from jsonb_to_recordset(${JSON.stringify(renditions)}::jsonb) as n (kind text, "storageKey" text)
     where r.media_id = ${media.id} and r.kind = n.kind`
}
