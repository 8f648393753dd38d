import { deleteMedia } from '../../ledger/media.ts'
import { purgeNow } from '../../ledger/purging.ts'
import { reprocessMedia } from '../../ledger/reprocessing.ts'
import { notFound, Problem } from '../http/errors.ts'
import { MEDIA_ID } from '../routes/param.ts'
import { route } from '../routes/route.ts'
import { body, empty, json, REDIRECT } from './answers.ts'
import {
  linkedOrOwnMedia,
  type MediaServices,
  ownMedia,
  requireReady,
  sendOrRedirect,
  servedMedia,
} from './media-access.ts'
import { tellPurged } from './media-restore.ts'
import { Media, MediaDeleteQuery } from './schemas.ts'
import { mediaView } from './views.ts'

const BYTES = { 200: body('The bytes', '*/*'), 206: body('A range of the bytes', '*/*'), ...REDIRECT }

/** `/api/v1/media`: the caller's media items. */
export const mediaRoutes = [
  route('get', '/api/v1/media/:id', 'token', {
    params: { id: MEDIA_ID },
    answers: { 200: json(Media) },
    summary: 'A media item',
    async handle({ request, response, who, params }, { db, views, addressesOf }: MediaServices) {
      response.json(mediaView(await ownMedia(db, who.ownerId, params.id), views, addressesOf(request)))
    },
  }),
  route('post', '/api/v1/media/:id/process', 'token', {
    params: { id: MEDIA_ID },
    answers: { 202: json(Media) },
    summary: 'Processes a media item again',
    description:
      'If it `failed`, processing resumes at the failed step; if it is `ready`, facts and pictures are made again.',
    async handle({ request, response, who, params }, services: MediaServices) {
      const { db, bus, views, enqueueProcessing, addressesOf } = services
      const { ownerId } = who
      const result = await reprocessMedia(db, { id: params.id, ownerId }, enqueueProcessing)
      if (result.kind === 'absent') throw notFound()
      if (result.kind === 'over') throw notReprocessable(result.status)
      void bus.publish({ t: 'event', id: result.uploadId, queue: 'again' })
      const media = await ownMedia(db, ownerId, params.id)
      response.status(202).json(mediaView(media, views, addressesOf(request)))
    },
  }),
  route('delete', '/api/v1/media/:id', 'token', {
    params: { id: MEDIA_ID },
    query: MediaDeleteQuery,
    answers: { 204: empty('Deleted') },
    summary: 'Deletes a media item',
    description:
      'The bytes count against the quota until they are purged (`MEDIA_RETENTION`); a public copy is removed at once. `purge=true` removes everything at once and permanently, also where the media item was deleted before.',
    async handle({ request, response, who, params, query }, services: MediaServices) {
      const { db, bus, ends, enqueueRemoval } = services
      if (query.purge === 'true') {
        const [purged] = await purgeNow(db, who.ownerId, [params.id], enqueueRemoval)
        if (!purged) throw notFound()
        await tellPurged(services, [purged], request.id)
        return void response.status(204).end()
      }
      const uploadId = await deleteMedia(db, who.ownerId, params.id, enqueueRemoval)
      if (!uploadId) throw notFound()
      void bus.publish({ t: 'event', id: uploadId, queue: 'removal' })
      await ends.byId(db, 'media.deleted', [uploadId], { requestId: request.id })
      response.status(204).end()
    },
  }),
  route('get', '/api/v1/media/:id/content', 'token-or-link', {
    params: { id: MEDIA_ID },
    answers: BYTES,
    summary: 'The bytes',
    description: 'With `Range`, `If-Range` and `ETag`; 409 `not-ready` until the media item is ready.',
    async handle(call, services: MediaServices) {
      const media = requireReady(await linkedOrOwnMedia(call, services))
      await sendOrRedirect(call, services, servedMedia(media, media.sha256 ?? media.id))
    },
  }),
  route('get', '/api/v1/media/:id/source', 'link', {
    params: { id: MEDIA_ID },
    answers: BYTES,
    summary: 'The bytes for the analysis engine, ready or not',
    async handle(call, services: MediaServices) {
      const media = await linkedOrOwnMedia(call, services)
      if (media.status !== 'processing') requireReady(media)
      await sendOrRedirect(call, services, servedMedia(media, media.id))
    },
  }),
]

/** A media item that has ended by a verdict stays as it is. */
export const notReprocessable = (status: string): Problem =>
  new Problem('not-ready', `The media item is ${status} and cannot be processed again.`, {
    members: { mediaStatus: status },
  })
