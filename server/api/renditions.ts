import type { Router } from 'express'
import { findRendition, findRenditions, type MediaRow, type RenditionRow } from '../../ledger/media.ts'
import type { RenditionKind } from '../../storage/store/keys.ts'
import { notFound } from '../http/errors.ts'
import { readText, sendText, servedRendition } from './content.ts'
import { addHlsRoutes } from './hls.ts'
import { readInput } from './query.ts'
import type { RenditionRouteOptions } from './rendition-options.ts'
import { ThumbnailQuery } from './schemas.ts'

/** The renditions of a media item: thumbnails, storyboard, waveform, HLS. */
export function addRenditionRoutes(router: Router, options: RenditionRouteOptions): void {
  const { db, links, linkOrToken, readyMedia, send } = options

  const renditionOf = async (media: MediaRow, kind: RenditionKind): Promise<RenditionRow> => {
    const rendition = await findRendition(db, media, kind)
    if (!rendition) throw notFound()
    return rendition
  }

  router.get('/:id/thumbnail', linkOrToken('thumbnail'), async (request, response) => {
    const { width, format } = readInput(ThumbnailQuery, request.query)
    const media = await readyMedia(request, response)
    response.vary('Accept')
    // A client that accepts neither gets WebP.
    const accepted = request.accepts(['image/webp', 'image/jpeg'])
    const contentType = format === undefined ? accepted || 'image/webp' : `image/${format}`
    const rendition = nearestThumbnail(await findRenditions(db, media), { width, contentType })
    if (!rendition) throw notFound()
    await send(request, response, servedRendition(media, rendition))
  })

  router.get('/:id/storyboard', linkOrToken('storyboard'), async (request, response) => {
    const media = await readyMedia(request, response)
    await send(request, response, servedRendition(media, await renditionOf(media, 'storyboard')))
  })

  router.get('/:id/storyboard.vtt', linkOrToken('storyboard.vtt'), async (request, response) => {
    const media = await readyMedia(request, response)
    const object = servedRendition(media, await renditionOf(media, 'storyboard-cues'))
    // A player fetches the picture without a token, so its address is a signed link.
    const picture = links.sign(media.id, 'storyboard').split('/').at(-1)
    const cues = (await readText(options, response, object)).replaceAll(/^storyboard#/gm, `${picture}#`)
    sendText(request, response, { text: cues, contentType: 'text/vtt; charset=utf-8' })
  })

  router.get('/:id/waveform', linkOrToken('waveform'), async (request, response) => {
    const media = await readyMedia(request, response)
    const object = servedRendition(media, await renditionOf(media, 'waveform'))
    sendText(request, response, {
      text: await readText(options, response, object),
      contentType: 'application/json',
    })
  })

  addHlsRoutes(router, { ...options, renditionOf })
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
