import type { z } from 'zod'
import { describeUpload } from '../../ledger/description.ts'
import type { OwnMediaRow } from '../../ledger/media.ts'
import { mediaFacts } from '../../ledger/media-facts.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { mediaPath } from '../../storage/signed-path.ts'
import { pathBelowPrefix } from '../../storage/store/keys.ts'
import type { ContentLinks } from '../auth/content-links.ts'
import { LINK_KIND_NAMES, LINK_KINDS, type LinkKind, type LinkTarget } from '../auth/link-targets.ts'
import type { Progress } from '../events/progress-board.ts'
import type { WholeProgress } from '../events/wholes.ts'
import type { Addresses } from '../http/addresses.ts'
import type * as schemas from './schemas.ts'

// Rows as the API shows them, without column names, keys and internals.

export function uploadView(
  upload: UploadRow,
  progress: Progress,
  whole: WholeProgress | null,
): z.output<typeof schemas.Upload> {
  return {
    id: upload.id,
    state: upload.state,
    filename: upload.filename,
    ...progress,
    reservedBytes: upload.state === 'open' ? upload.reserved_bytes : 0,
    isPartial: upload.is_partial,
    isDirect: upload.protocol === 'direct',
    whole,
    mediaId: upload.media_id,
    reason: upload.reject,
    ...describeUpload(upload.metadata),
    createdAt: upload.created_at.toISOString(),
    expiresAt: upload.state === 'open' ? upload.expires_at.toISOString() : null,
  }
}

export type MediaViewOptions = {
  links: ContentLinks
  /** Whether those that are public need no links. */
  publicMedia: 'off' | 'allowed'
  /** Where public copies are fetched: the base URL, and the template of their keys. */
  cdn: { url: string; prefix: string } | undefined
}

export function mediaView(
  media: OwnMediaRow,
  { links, publicMedia, cdn }: MediaViewOptions,
  addresses: Pick<Addresses, 'link'>,
): z.output<typeof schemas.Media> {
  const kinds = linkableKinds(media)
  const isPublic = publicMedia === 'allowed' && media.visibility === 'public'
  const pathTo = (target: LinkTarget) =>
    isPublic ? mediaPath(media.id, target) : links.sign(media.id, target)
  const link = (kind: LinkKind) =>
    kinds.includes(kind) ? addresses.link(pathTo(LINK_KINDS[kind].target)) : null
  return {
    ...mediaFacts(media),
    thumbnailUrl: link('thumbnail'),
    storyboardUrl: link('storyboard'),
    waveformUrl: link('waveform'),
    hlsUrl: link('hls'),
    contentUrl: link('content'),
    cdnUrl: media.status === 'ready' ? cdnUrl(media, cdn) : null,
  }
}

/** What links to a media item can lead to now. */
export function linkableKinds(media: Pick<OwnMediaRow, 'status' | 'renditions'>): LinkKind[] {
  if (media.status !== 'ready') return []
  return LINK_KIND_NAMES.filter((kind) => {
    const { rendition } = LINK_KINDS[kind]
    return rendition === undefined || media.renditions.includes(rendition)
  })
}

function cdnUrl({ published_key: key }: OwnMediaRow, cdn: MediaViewOptions['cdn']): string | null {
  if (!cdn || key === null) return null
  const path = pathBelowPrefix(cdn.prefix, key)
  // Copied under another prefix: the CDN does not reach it.
  return path === undefined ? null : `${cdn.url}/${path}`
}
