import type { z } from 'zod'
import { describeUpload } from '../../ledger/description.ts'
import type { OwnMediaRow } from '../../ledger/media.ts'
import { mediaFacts } from '../../ledger/media-facts.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { pathBelowPrefix, type RenditionKind } from '../../storage/store/keys.ts'
import type { ContentLinks, LinkTarget } from '../auth/content-links.ts'
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
  /** Where public copies are fetched: the base URL, and the template of their keys. */
  cdn: { url: string; prefix: string } | undefined
}

export function mediaView(
  media: OwnMediaRow,
  { links, cdn }: MediaViewOptions,
  addresses: Pick<Addresses, 'link'>,
): z.output<typeof schemas.Media> {
  const isReady = media.status === 'ready'
  const has = (kind: RenditionKind) => isReady && media.renditions.includes(kind)
  const link = (target: LinkTarget) => addresses.link(links.sign(media.id, target))
  return {
    ...mediaFacts(media),
    thumbnailUrl: has('thumbnail') ? link('thumbnail') : null,
    storyboardUrl: has('storyboard-cues') ? link('storyboard.vtt') : null,
    waveformUrl: has('waveform') ? link('waveform') : null,
    hlsUrl: has('hls') ? link('hls.m3u8') : null,
    contentUrl: isReady ? link('content') : null,
    cdnUrl: isReady ? cdnUrl(media, cdn) : null,
  }
}

function cdnUrl({ published_key: key }: OwnMediaRow, cdn: MediaViewOptions['cdn']): string | null {
  if (!cdn || key === null) return null
  const path = pathBelowPrefix(cdn.prefix, key)
  // Copied under another prefix: the CDN does not reach it.
  return path === undefined ? null : `${cdn.url}/${path}`
}
