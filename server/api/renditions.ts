import { findRendition, findRenditions, type RenditionRow } from '../../ledger/media.ts'
import type { RenditionKind } from '../../storage/store/keys.ts'
import { notFound } from '../http/errors.ts'
import { MEDIA_ID } from '../routes/param.ts'
import { route } from '../routes/route.ts'
import { body, REDIRECT } from './answers.ts'
import { readText, sendText, servedRendition } from './content.ts'
import { type BytesCall, type BytesServices, readyMedia, sendOrRedirect } from './media-access.ts'
import { ThumbnailQuery } from './schemas.ts'

/** The renditions of a media item: thumbnails, storyboard, waveform. */
export const renditionRoutes = [
  route('get', '/api/v1/media/:id/thumbnail', 'token-or-link', {
    params: { id: MEDIA_ID },
    query: ThumbnailQuery,
    answers: { 200: body('The picture', 'image/webp', 'image/jpeg'), ...REDIRECT },
    summary: 'A picture of a video or an image, as WebP or JPEG',
    async handle(call, services: BytesServices) {
      const { width, format } = call.query
      const media = await readyMedia(call, services)
      call.response.vary('Accept')
      // A client that accepts neither gets WebP.
      const accepted = call.request.accepts(['image/webp', 'image/jpeg'])
      const contentType = format === undefined ? accepted || 'image/webp' : `image/${format}`
      const rendition = nearestThumbnail(await findRenditions(services.db, media), { width, contentType })
      if (!rendition) throw notFound()
      await sendOrRedirect(call, services, servedRendition(media, rendition))
    },
  }),
  route('get', '/api/v1/media/:id/storyboard', 'token-or-link', {
    params: { id: MEDIA_ID },
    answers: { 200: body('The picture', 'image/jpeg'), ...REDIRECT },
    summary: 'Up to 100 small pictures of a video in one JPEG',
    async handle(call, services: BytesServices) {
      await sendOrRedirect(call, services, (await readyRendition(call, services, 'storyboard')).object)
    },
  }),
  route('get', '/api/v1/media/:id/storyboard.vtt', 'token-or-link', {
    params: { id: MEDIA_ID },
    answers: { 200: body('Cues with `#xywh=`', 'text/vtt') },
    summary: 'Which part of the storyboard shows each time of a video, as WebVTT',
    async handle(call, services: BytesServices) {
      const { media, object } = await readyRendition(call, services, 'storyboard-cues')
      // A player fetches the picture without a token, so its address is a signed link.
      const picture = services.links.signPart(media.id, 'storyboard', call.link).split('/').at(-1)
      const cues = await readText(services, call.response, object)
      sendText(call, {
        text: cues.replaceAll(/^storyboard#/gm, `${picture}#`),
        contentType: 'text/vtt; charset=utf-8',
      })
    },
  }),
  route('get', '/api/v1/media/:id/waveform', 'token-or-link', {
    params: { id: MEDIA_ID },
    answers: { 200: body('As audiowaveform writes it', 'application/json') },
    summary: 'The audio peaks of an audio or video file',
    async handle(call, services: BytesServices) {
      const { object } = await readyRendition(call, services, 'waveform')
      const text = await readText(services, call.response, object)
      sendText(call, { text, contentType: 'application/json' })
    },
  }),
]

/** A ready media item, and its rendition of this kind. Fails with `not-found` where there is none. */
export async function readyRendition(call: BytesCall, services: BytesServices, kind: RenditionKind) {
  const media = await readyMedia(call, services)
  const rendition = await findRendition(services.db, media, kind)
  if (!rendition) throw notFound()
  return { media, object: servedRendition(media, rendition) }
}

/**
 * The thumbnail with the nearest width, or the main one. An old one with a single format is sent whatever is accepted.
 */
function nearestThumbnail(
  renditions: readonly RenditionRow[],
  { width, contentType }: { width: number | undefined; contentType: string },
): RenditionRow | undefined {
  const all = renditions.filter(({ kind }) => /^thumbnail(-\d)?(-jpeg)?$/.test(kind))
  const main = all.find(({ kind }) => kind === 'thumbnail')
  const fitting = all.filter((rendition) => rendition.content_type === contentType)
  const wanted = width ?? main?.width ?? 0
  const distance = (rendition: RenditionRow) => Math.abs((rendition.width ?? 0) - wanted)
  return fitting.toSorted((a, b) => distance(a) - distance(b))[0] ?? main
}
