import type { Ledger } from './database.ts'
import type { EndEvent } from './event-types.ts'
import { type Owner, type OwnerId, ownerOf } from './ids.ts'
import { rowsOf } from './rows.ts'

/** The end of an upload or of a media item, as it is logged. */
export type End = {
  event: EndEvent
  uploadId: string
  mediaId: string | null
  ownerId: string
  tenantId: string | null
  /** A code; null without one. */
  reason: string | null
  /** For an upload, the bytes that were acknowledged; for a media item, its size. */
  bytes: number
  /** Since the upload was created, or since the media item was received. */
  durationMs: number
}

/** Reads the ends of uploads, or of their media items, that one statement has ended. */
export async function describeEnds(
  db: Ledger,
  event: End['event'],
  uploadIds: readonly string[],
): Promise<End[]> {
  if (uploadIds.length === 0) return []
  const isMedia = event.startsWith('media.')
  const rows = await rowsOf<Omit<End, 'event' | keyof Owner> & { owner: OwnerId }>(db)`
    select u.id as "uploadId", m.id as "mediaId", u.owner_id as owner,
           case when ${isMedia} then m.reason ->> 'code' else u.reject ->> 'code' end as reason,
           case when ${isMedia} then m.size else u."offset" end as bytes,
           round(1000 * extract(epoch from
             now() - case when ${isMedia} then m.created_at else u.created_at end))::bigint as "durationMs"
      from landfall.uploads u left join landfall.media m on m.upload_id = u.id
     where u.id = any(${uploadIds}::text[])`
  return rows.map(({ owner, ...row }) => ({ event, ...ownerOf(owner), ...row }))
}
