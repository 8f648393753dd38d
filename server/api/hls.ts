import type { MediaRow } from '../../ledger/media.ts'
import type { HlsNumber } from '../../storage/store/keys.ts'
import type { LinkTarget } from '../auth/content-links.ts'
import { HLS_FILE, MEDIA_ID } from '../routes/param.ts'
import { route } from '../routes/route.ts'
import { body } from './answers.ts'
import { readText, sendObject, sendText } from './content.ts'
import type { BytesCall, BytesServices } from './media-access.ts'
import { readyRendition } from './renditions.ts'

const PLAYLIST_TYPE = 'application/vnd.apple.mpegurl'
const HOUR_SECONDS = 3600

/**
 * The HLS renditions of a video: a master playlist, and playlists of segments in one file each. Players send no token,
 * so playlists contain signed links.
 */
export const hlsRoutes = [
  route('get', '/api/v1/media/:id/hls.m3u8', 'token-or-link', {
    params: { id: MEDIA_ID },
    answers: { 200: body('The main playlist', PLAYLIST_TYPE) },
    summary: "The HLS playlists of a video's renditions",
    async handle(call, services: BytesServices) {
      const { media, object } = await readyRendition(call, services, 'hls')
      const text = (await readText(services, call.response, object)).replaceAll(
        /^hls-([1-6])\.m3u8$/gm,
        (_, n: HlsNumber) => relativeLink(call, services, media, `hls/${n}.m3u8`, ''),
      )
      sendText(call, { text, contentType: PLAYLIST_TYPE })
    },
  }),
  route('get', '/api/v1/media/:id/hls/:file', 'token-or-link', {
    params: { id: MEDIA_ID, file: HLS_FILE },
    answers: {
      200: body('The playlist or the bytes', PLAYLIST_TYPE, 'video/mp4'),
      206: body('A range of the bytes', 'video/mp4'),
    },
    summary: 'A rendition, numbered from 1: its playlist `N.m3u8`, or its bytes `N.mp4` with `Range`',
    async handle(call, services: BytesServices) {
      const { number, type } = call.params.file
      const kind = type === 'mp4' ? (`hls-${number}` as const) : (`hls-${number}-playlist` as const)
      const { media, object } = await readyRendition(call, services, kind)
      // Never redirected: scripts could follow a redirect to the storage only if that allowed them to.
      if (type === 'mp4') return await sendObject(services, call, object)
      const link = relativeLink(call, services, media, `hls/${number}.mp4`, 'hls/')
      const text = (await readText(services, call.response, object)).replaceAll(`hls-${number}.mp4`, link)
      sendText(call, { text, contentType: PLAYLIST_TYPE })
    },
  }),
]

/** A link relative to the master playlist, or to that of a rendition. */
function relativeLink(
  { link: asked }: BytesCall,
  { links }: BytesServices,
  media: MediaRow,
  target: LinkTarget,
  base: '' | 'hls/',
): string {
  // A player reads a playlist once, and fetches segments for as long as the video lasts.
  const moreHours = Math.ceil((media.duration_seconds ?? 0) / HOUR_SECONDS)
  const link = links.signPart(media.id, target, asked, moreHours)
  return link.slice(link.indexOf(target) + base.length)
}
