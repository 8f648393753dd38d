import type { Router } from 'express'
import type { MediaRow, RenditionRow } from '../../ledger/media.ts'
import { HLS_NUMBERS, type HlsNumber, type RenditionKind } from '../../storage/store/keys.ts'
import type { LinkTarget } from '../auth/content-links.ts'
import { readText, sendObject, sendText, servedRendition } from './content.ts'
import type { RenditionRouteOptions } from './rendition-options.ts'

export type HlsRouteOptions = RenditionRouteOptions & {
  /** Fails where there is none. */
  renditionOf: (media: MediaRow, kind: RenditionKind) => Promise<RenditionRow>
}

const PLAYLIST_TYPE = 'application/vnd.apple.mpegurl'
const HOUR_SECONDS = 3600

/**
 * The HLS renditions of a video: a master playlist, and playlists of segments in one file each. Players send no token,
 * so playlists contain signed links.
 */
export function addHlsRoutes(router: Router, options: HlsRouteOptions): void {
  const { links, linkOrToken, readyMedia, renditionOf } = options

  /** A link relative to the master playlist, or to that of a rendition. */
  const relativeLink = (media: MediaRow, target: LinkTarget, base: '' | 'hls/'): string => {
    // A player reads a playlist once, and fetches segments for as long as the video lasts.
    const moreHours = Math.ceil((media.duration_seconds ?? 0) / HOUR_SECONDS)
    const link = links.sign(media.id, target, Date.now(), moreHours)
    return link.slice(link.indexOf(target) + base.length)
  }

  router.get('/:id/hls.m3u8', linkOrToken('hls.m3u8'), async (request, response) => {
    const media = await readyMedia(request, response)
    const object = servedRendition(media, await renditionOf(media, 'hls'))
    const text = (await readText(options, response, object)).replaceAll(
      /^hls-([1-6])\.m3u8$/gm,
      (_, n: HlsNumber) => relativeLink(media, `hls/${n}.m3u8`, ''),
    )
    sendText(request, response, { text, contentType: PLAYLIST_TYPE })
  })

  for (const number of HLS_NUMBERS) {
    const playlist = `hls/${number}.m3u8` as const
    const bytes = `hls/${number}.mp4` as const

    router.get(`/:id/${playlist}`, linkOrToken(playlist), async (request, response) => {
      const media = await readyMedia(request, response)
      const object = servedRendition(media, await renditionOf(media, `hls-${number}-playlist`))
      const link = relativeLink(media, bytes, 'hls/')
      const text = (await readText(options, response, object)).replaceAll(`hls-${number}.mp4`, link)
      sendText(request, response, { text, contentType: PLAYLIST_TYPE })
    })

    // Never redirected: scripts could follow a redirect to the storage only if that allowed them to.
    router.get(`/:id/${bytes}`, linkOrToken(bytes), async (request, response) => {
      const media = await readyMedia(request, response)
      await sendObject(
        options,
        request,
        response,
        servedRendition(media, await renditionOf(media, `hls-${number}`)),
      )
    })
  }
}
