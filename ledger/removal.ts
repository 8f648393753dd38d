import { sql } from 'kysely'
import type { Ledger } from './database.ts'
import type { UploadId } from './ids.ts'

/**
 * Whether the bytes of an upload have to go: it expired or was rejected, was terminated before it had
 * become a media, or its media is purged. A media that is only deleted keeps them.
 */
const isToBeRemoved = sql<boolean>`(
  uploads.state in ('expired', 'rejected')
  or (uploads.state = 'terminated' and uploads.media_id is null)
  or exists (select 1 from landfall.media m where m.upload_id = uploads.id and m.purged_at is not null)
)`

/** Every key an ended upload may have left in storage, renditions first; none when it has to keep them. */
export async function keysToRemove(db: Ledger, uploadId: UploadId): Promise<string[]> {
  const renditions = await db
    .selectFrom('renditions')
    .innerJoin('media', 'media.id', 'renditions.media_id')
    .innerJoin('uploads', 'uploads.id', 'media.upload_id')
    .select('renditions.storage_key')
    .where('uploads.id', '=', uploadId)
    .where(isToBeRemoved)
    .execute()
  const upload = await db
    .selectFrom('uploads')
    .select('storage_key')
    .where('id', '=', uploadId)
    .where(isToBeRemoved)
    .executeTakeFirst()
  return [...renditions.map((r) => r.storage_key), ...(upload ? [upload.storage_key] : [])]
}

/** Forgets the renditions of an upload's media once their bytes are gone. */
export async function forgetRenditions(db: Ledger, uploadId: UploadId): Promise<void> {
  await db
    .deleteFrom('renditions')
    .where(
      'media_id',
      'in',
      db
        .selectFrom('media')
        .innerJoin('uploads', 'uploads.id', 'media.upload_id')
        .select('media.id')
        .where('uploads.id', '=', uploadId)
        .where(isToBeRemoved),
    )
    .execute()
}
