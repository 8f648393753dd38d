import type { Purged } from '../../ledger/purging.ts'
import { restoreMedia } from '../../ledger/restoring.ts'
import { notFound, Problem } from '../http/errors.ts'
import { MEDIA_ID } from '../routes/param.ts'
import { route } from '../routes/route.ts'
import { json } from './answers.ts'
import { type MediaServices, ownMedia } from './media-access.ts'
import { Media } from './schemas.ts'
import { mediaView } from './views.ts'

/** Tells listeners, the worker and the log of media items that were purged. */
export async function tellPurged(
  { db, bus, ends }: Pick<MediaServices, 'db' | 'bus' | 'ends'>,
  purged: readonly Purged[],
  requestId: unknown,
): Promise<void> {
  for (const { uploadId: id } of purged) void bus.publish({ t: 'event', id, queue: 'removal' })
  const deleted = purged.filter(({ wasLive }) => wasLive)
  const idsOf = (items: readonly Purged[]) => items.map(({ uploadId }) => uploadId)
  await ends.byId(db, 'media.deleted', idsOf(deleted), { requestId })
  await ends.byId(db, 'media.purged', idsOf(purged), { requestId })
}

export const restoreRoutes = [
  route('post', '/api/v1/media/:id/restore', 'token', {
    params: { id: MEDIA_ID },
    answers: { 200: json(Media) },
    summary: 'Takes back the deletion of a media item',
    description:
      'It gets its former status. After the purge the answer is 410 `media-purged`. If the media item is not deleted, nothing changes.',
    async handle({ request, response, who, params }, services: MediaServices) {
      const { db, bus, views, enqueueProcessing, addressesOf } = services
      const [item] = await restoreMedia(db, who.ownerId, [params.id], enqueueProcessing)
      if (!item) throw notFound()
      if (item.outcome === 'purged') throw mediaPurged()
      if (item.outcome === 'restored') void bus.publish({ t: 'event', id: item.uploadId, queue: 'again' })
      const media = await ownMedia(db, who.ownerId, params.id)
      response.json(mediaView(media, views, addressesOf(request)))
    },
  }),
]

export const mediaPurged = (): Problem =>
  new Problem('media-purged', 'The media item has been purged: its bytes are removed.')
