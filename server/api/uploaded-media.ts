import type { z } from 'zod'
import { usualSeconds } from '../../ledger/processing-times.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { mediaPath } from '../../storage/signed-path.ts'
import { isService, type Principal } from '../auth/principal.ts'
import { notFound, Problem } from '../http/errors.ts'
import type { Call } from '../routes/route.ts'
import { type MediaServices, ownMedia } from './media-access.ts'
import type { UploadedMedia } from './schemas.ts'
import { mediaView } from './views.ts'

/**
 * What a client is told of the media item that its request has made; sets `Location`. Fails with `content-rejected` where
 * that was rejected meanwhile.
 */
export async function uploadedMedia(
  { request, response, who }: Pick<Call, 'request' | 'response'> & { who: Principal },
  { db, views, addressesOf }: MediaServices,
  { media_id: id }: UploadRow,
): Promise<z.output<typeof UploadedMedia>> {
  if (id === null) throw notFound()
  const media = await ownMedia(db, who.ownerId, id)
  if (media.status === 'rejected')
    throw new Problem('content-rejected', media.reason?.detail ?? 'The file was rejected.', {
      members: { reason: media.reason, mediaId: id, uploadId: media.upload_id },
    })
  const addresses = addressesOf(request)
  response.set('Location', addresses.location(mediaPath(media.id)))
  return {
    ...mediaView(media, views, addresses),
    // A ticket reads no files.
    ...(who.ticket ? NO_LINKS : {}),
    estimatedSeconds: media.status === 'processing' ? await usualSeconds(db, who.ownerId) : 0,
    ...(isService(who) ? { storageKey: media.storage_key } : {}),
  }
}

const NO_LINKS = {
  thumbnailUrl: null,
  storyboardUrl: null,
  waveformUrl: null,
  hlsUrl: null,
  contentUrl: null,
  cdnUrl: null,
}
