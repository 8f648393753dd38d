import type { Request } from 'express'
import type { z } from 'zod'
import { newLinkId } from '../../ledger/ids.ts'
import type { OwnMediaRow } from '../../ledger/media.ts'
import {
  createMediaLink,
  liveLinks,
  MAX_LIVE_LINKS,
  type MediaLinkRow,
  revokeMediaLink,
} from '../../ledger/media-links.ts'
import type { ContentLinks } from '../auth/content-links.ts'
import { LINK_KIND_NAMES, LINK_KINDS, type LinkKind } from '../auth/link-targets.ts'
import type { Addresses } from '../http/addresses.ts'
import { notFound, Problem } from '../http/errors.ts'
import { mediaTypeOf } from '../http/list-header.ts'
import { parseJson, readInput } from '../http/read-input.ts'
import { LINK, MEDIA_ID } from '../routes/param.ts'
import { route } from '../routes/route.ts'
import { empty, json } from './answers.ts'
import { downloadName } from './download-name.ts'
import { type MediaServices, ownMedia, requireReady } from './media-access.ts'
import { MediaLinkList, MediaLink as MediaLinkSchema, NewMediaLink } from './schemas.ts'
import { linkableKinds } from './views.ts'

const OF_MEDIA = { params: { id: MEDIA_ID } } as const

/** `/api/v1/media/:id/links`: links to a media item with an expiry of choice, which can be revoked. */
export const mediaLinksRoutes = [
  route('post', '/api/v1/media/:id/links', 'token', {
    ...OF_MEDIA,
    body: { types: ['application/json'], schema: NewMediaLink, read: { as: 'bytes', maxBytes: 64 * 1024 } },
    answers: { 201: json(MediaLinkSchema) },
    summary: 'Gives a link to a media item that is ready',
    async handle({ request, response, who, params }, services: MediaServices) {
      const { db, links, addressesOf } = services
      const { ownerId } = who
      const media = await ownMedia(db, ownerId, params.id)
      requireReady(media)
      const { ttlSeconds, kinds, disposition, filename } = readNewLink(request)
      const created = await createMediaLink(db, {
        id: newLinkId(),
        mediaId: media.id,
        ownerId,
        kinds: kindsOf(media, kinds),
        disposition,
        filename: filename === null ? null : downloadName(filename, media.content_type),
        expires: Math.floor(Date.now() / 1000) + ttlSeconds,
      })
      // It has ended meanwhile.
      if (created.kind === 'absent') throw notFound()
      if (created.kind === 'too-many')
        throw new Problem(
          'too-many-links',
          `A media item has at most ${MAX_LIVE_LINKS} links that are neither expired nor revoked.`,
          { members: { limit: MAX_LIVE_LINKS } },
        )
      response
        .status(201)
        .set('Cache-Control', 'no-store')
        .json(linkView(created.row, links, addressesOf(request)))
    },
  }),
  route('get', '/api/v1/media/:id/links', 'token', {
    ...OF_MEDIA,
    answers: { 200: json(MediaLinkList) },
    summary: 'The links to a media item that can be followed, newest first',
    description: '`{ items: [link…] }`',
    async handle({ request, response, who, params }, { db, links, addressesOf }: MediaServices) {
      const { id } = await ownMedia(db, who.ownerId, params.id)
      const addresses = addressesOf(request)
      const items = (await liveLinks(db, who.ownerId, id)).map((row) => linkView(row, links, addresses))
      response.set('Cache-Control', 'no-store').json({ items } satisfies z.output<typeof MediaLinkList>)
    },
  }),
  route('delete', '/api/v1/media/:id/links/:link', 'token', {
    params: { id: MEDIA_ID, link: LINK },
    answers: { 204: empty('Revoked') },
    summary: 'Revokes a link',
    description:
      'The next request with it is refused, also in the middle of a video or a download in ranges.',
    async handle({ response, who, params }, { db }: MediaServices) {
      // Also that of a deleted media item, which may be restored.
      const isThere = await revokeMediaLink(db, {
        ownerId: who.ownerId,
        mediaId: params.id,
        id: params.link,
      })
      if (!isThere) throw notFound()
      response.status(204).end()
    },
  }),
]

/** What is asked for; no body asks for all that is the default. Fails with `invalid-request`. */
function readNewLink({ body, headers }: Request): z.output<typeof NewMediaLink> {
  if (!Buffer.isBuffer(body) || body.length === 0) return readInput(NewMediaLink, {})
  if (mediaTypeOf(headers['content-type']) !== 'application/json')
    throw new Problem('unsupported-content-type', 'A link is asked for as application/json.')
  return readInput(NewMediaLink, parseJson(body))
}

/** What the link opens, in the order of the table. Fails with `invalid-request` for what the media item does not have. */
function kindsOf(media: OwnMediaRow, wanted: readonly LinkKind[] | undefined): LinkKind[] {
  const has = linkableKinds(media)
  const missing = wanted?.find((kind) => !has.includes(kind))
  if (missing !== undefined)
    throw new Problem('invalid-request', `kinds: the media item has no ${missing}; it has ${has.join(', ')}`)
  return has.filter((kind) => wanted?.includes(kind) ?? true)
}

function linkView(
  row: MediaLinkRow,
  links: ContentLinks,
  addresses: Pick<Addresses, 'link'>,
): z.output<typeof MediaLinkSchema> {
  const { id: link, media_id: mediaId, disposition, filename, expires_at: expiresAt } = row
  const kinds = LINK_KIND_NAMES.filter((kind) => row.kinds.includes(kind))
  const expires = expiresAt.getTime() / 1000
  const urls = kinds.map((kind) => {
    const { target, isFile } = LINK_KINDS[kind]
    const saved = isFile ? { disposition: disposition ?? undefined, filename: filename ?? undefined } : {}
    return [kind, addresses.link(links.signFor(mediaId, target, { expires, link, ...saved }))] as const
  })
  return {
    id: link,
    mediaId,
    kinds,
    disposition,
    filename,
    createdAt: row.created_at.toISOString(),
    expiresAt: expiresAt.toISOString(),
    urls: Object.fromEntries(urls),
  }
}
