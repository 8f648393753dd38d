import type { Request, RequestHandler, Response, Router } from 'express'
import type { Bus } from '../../ledger/bus.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { DueMedia, Enqueue } from '../../ledger/due-work.ts'
import type { EndLog } from '../../ledger/end-log.ts'
import { type MediaId, parseMediaId, type UploadId } from '../../ledger/ids.ts'
import {
  deleteMedia,
  findLinkedMedia,
  findMedia,
  listMedia,
  type MediaRow,
  type OwnMediaRow,
} from '../../ledger/media.ts'
import { reprocessMedia } from '../../ledger/reprocessing.ts'
import type { Storage } from '../../storage/storage.ts'
import type { OpenDownloads } from '../admission/open-downloads.ts'
import type { OwnerTurns } from '../admission/owner-turns.ts'
import { principalOf } from '../auth/authenticate.ts'
import type { ContentLinks, LinkTarget } from '../auth/content-links.ts'
import { authenticated } from '../http/deadlines.ts'
import { notFound, Problem } from '../http/errors.ts'
import { strictRouter } from '../http/routing.ts'
import { redirectToObject, type ServedObject, sendObject } from './content.ts'
import { readCursor, readInput, writeCursor } from './query.ts'
import { addRenditionRoutes } from './renditions.ts'
import { MediaListQuery } from './schemas.ts'
import { type MediaViewOptions, mediaView } from './views.ts'

export type MediaApiOptions = MediaViewOptions & {
  db: Ledger
  bus: Bus
  storage: Pick<Storage, 'objectsOf'>
  openDownloads: OpenDownloads
  /** For requests by a link, which have no owner. */
  turns: OwnerTurns
  /** Whether content is sent from here or by a redirect to the storage, where that has links. */
  downloads: 'stream' | 'redirect'
  links: ContentLinks
  enqueueRemoval: Enqueue<UploadId>
  enqueueProcessing: Enqueue<readonly DueMedia[]>
  authenticate: RequestHandler
  ends: EndLog
}

/** `/api/v1/media`: the caller's media items. */
export function mediaApi(options: MediaApiOptions): Router {
  const { db, bus, storage, downloads, links, enqueueRemoval, enqueueProcessing, authenticate, ends } =
    options
  const router = strictRouter()

  const idOf = (request: Request<{ id: string }>): MediaId => {
    const id = parseMediaId(request.params.id)
    if (!id) throw notFound()
    return id
  }
  const own = async (request: Request<{ id: string }>, response: Response): Promise<OwnMediaRow> => {
    const media = await findMedia(db, principalOf(response).ownerId, idOf(request))
    if (!media) throw notFound()
    return media
  }

  /** Accepts a signed link, or else a token. */
  const linkOrToken = (target: LinkTarget): RequestHandler<{ id: string }> =>
    async function checkLinkOrToken(request, response, next) {
      if (!links.check(idOf(request), target, request.query))
        // Passed to Express: an unhandled rejection would end the process.
        return await authenticate(request, response, next)
      response.locals.isLinked = true
      authenticated(request)
      next()
    }
  const linkedOrOwn = async (request: Request<{ id: string }>, response: Response): Promise<MediaRow> => {
    if (!response.locals.isLinked) return await own(request, response)
    const media = await findLinkedMedia(db, idOf(request))
    if (!media) throw notFound()
    await options.turns.enter(request, response, media.owner_id)
    return media
  }

  const send = async (request: Request, response: Response, object: ServedObject): Promise<void> => {
    if (downloads === 'redirect' && (await redirectToObject(storage, request, response, object))) return
    await sendObject(options, request, response, object)
  }

  router.get('/:id/content', linkOrToken('content'), async (request, response) => {
    const media = await linkedOrOwn(request, response)
    const { content_type: contentType, sha256, etag, storage_backend } = requireReady(media)
    await send(request, response, {
      storage_backend,
      ownerId: media.owner_id,
      key: media.storage_key,
      size: media.size,
      contentType,
      tag: sha256 ?? media.id,
      etag,
    })
  })

  router.get('/:id/source', linkOrToken('source'), async (request, response) => {
    // Only by a link of the analysis: everybody else uses `content`.
    if (!response.locals.isLinked) throw notFound()
    const media = await linkedOrOwn(request, response)
    const { content_type: contentType, storage_backend, storage_key: key, size, etag } = media
    if (media.status !== 'processing') requireReady(media)
    const object = { storage_backend, ownerId: media.owner_id, key, size, contentType, tag: media.id, etag }
    await send(request, response, object)
  })

  const readyMedia = async (request: Request<{ id: string }>, response: Response): Promise<MediaRow> =>
    requireReady(await linkedOrOwn(request, response))
  addRenditionRoutes(router, { ...options, linkOrToken, readyMedia, send })

  router.use(authenticate)

  router.get('/', async (request, response) => {
    const query = readInput(MediaListQuery, request.query)
    const rows = await listMedia(db, {
      ownerId: principalOf(response).ownerId,
      limit: query.limit + 1,
      kind: query.kind,
      status: query.status,
      after: query.cursor === undefined ? undefined : readCursor(query.cursor),
    })
    const page = rows.slice(0, query.limit)
    const last = page.at(-1)
    response.json({
      items: page.map((row) => mediaView(row, options)),
      nextCursor: rows.length > query.limit && last ? writeCursor(last) : null,
    })
  })

  router.get('/:id', async (request, response) => {
    response.json(mediaView(await own(request, response), options))
  })

  router.post('/:id/process', async (request, response) => {
    const { ownerId } = principalOf(response)
    const result = await reprocessMedia(db, { id: idOf(request), ownerId }, enqueueProcessing)
    if (result.kind === 'absent') throw notFound()
    if (result.kind === 'over') {
      throw new Problem('not-ready', `The media item is ${result.status} and cannot be processed again.`, {
        members: { status: result.status },
      })
    }
    void bus.publish({ t: 'event', id: result.uploadId, queue: 'again' })
    response.status(202).json(mediaView(await own(request, response), options))
  })

  router.delete('/:id', async (request, response) => {
    const uploadId = await deleteMedia(db, principalOf(response).ownerId, idOf(request), enqueueRemoval)
    if (!uploadId) throw notFound()
    void bus.publish({ t: 'event', id: uploadId, queue: 'removal' })
    await ends.byId(db, 'media.deleted', [uploadId], { requestId: request.id })
    response.status(204).end()
  })

  return router
}

/** Fails with `not-ready` while there is nothing to serve, and with 410 when there never will be. */
function requireReady(media: MediaRow): MediaRow {
  if (media.status === 'ready') return media
  if (media.status === 'rejected') {
    throw new Problem('upload-rejected', media.reason?.detail ?? 'The file was rejected.', {
      members: { reason: media.reason },
    })
  }
  throw new Problem('not-ready', `The media item is ${media.status}.`, { members: { status: media.status } })
}
