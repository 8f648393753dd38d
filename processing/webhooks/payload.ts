import type { Ledger } from '../../ledger/database.ts'
import { describeUpload } from '../../ledger/description.ts'
import { ownerOf } from '../../ledger/ids.ts'
import { type MediaRow, mediaForJob } from '../../ledger/media.ts'
import { mediaFacts } from '../../ledger/media-facts.ts'
import type { MediaStatus } from '../../ledger/schema.ts'
import { type TakenDelivery, uploadForDelivery } from '../../ledger/webhooks.ts'

/** The body of Standard Webhooks. */
export type Payload = {
  type: TakenDelivery['type']
  /** Time of the event, ISO 8601. */
  timestamp: string
  data: Record<string, unknown>
}

/**
 * The body of a delivery: for `upload.*` the upload as in the API, for others the media item without its owner's links.
 * State and reason are those of the event, however late it is sent.
 */
export async function payloadOf(db: Ledger, delivery: TakenDelivery): Promise<string> {
  const { type, happened_at, media_id } = delivery
  const isOfUpload = type.startsWith('upload.')
  const media = isOfUpload || media_id === null ? undefined : await mediaForJob(db, media_id)
  const data = media ? mediaData(delivery, media) : await uploadData(db, delivery)
  return JSON.stringify({ type, timestamp: happened_at.toISOString(), data } satisfies Payload)
}

async function uploadData(db: Ledger, { type, upload_id, media_id, reason }: TakenDelivery) {
  const upload = await uploadForDelivery(db, upload_id)
  return {
    id: upload.id,
    ...ownerOf(upload.owner_id),
    state: type.slice('upload.'.length),
    filename: upload.filename,
    offset: upload.offset,
    size: upload.size,
    mediaId: media_id,
    reason,
    ...describeUpload(upload.metadata),
  }
}

/** Of events that say what a media item is from then on. */
const STATUS_OF: Partial<Record<TakenDelivery['type'], MediaStatus>> = {
  'media.ready': 'ready',
  'media.rejected': 'rejected',
  'media.failed': 'failed',
  'media.deleted': 'deleted',
  'media.purged': 'deleted',
}

const AS_IT_IS: ReadonlySet<string> = new Set([
  'media.deleted',
  'media.restored',
  'media.purged',
  'media.updated',
])

/** Later changes of the media item have events of their own. */
function mediaData({ type, reason, status }: TakenDelivery, media: MediaRow) {
  const facts = mediaFacts(media)
  return {
    ...facts,
    status: status ?? STATUS_OF[type] ?? facts.status,
    reason: reason ?? (AS_IT_IS.has(type) ? facts.reason : null),
    deletedAt: STATUS_OF[type] === 'deleted' ? facts.deletedAt : null,
  }
}
