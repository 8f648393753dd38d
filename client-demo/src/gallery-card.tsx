import { useState } from 'react'
import type { Media } from './contract.ts'
import { formatBytes, formatDuration } from './format.ts'
import { Icon } from './icon.tsx'
import { inPlainWords } from './problem.ts'

interface Props {
  readonly media: Media
  readonly onOpen: (media: Media) => void
  /** The thumbnail's link did not work: it may have ended. */
  readonly onStale: (id: string) => void
}

export function GalleryCard({ media, onOpen, onStale }: Props) {
  const { filename, status } = media
  return (
    <li className="card" data-testid="media-card" data-name={filename} data-status={status}>
      <button type="button" onClick={() => onOpen(media)} aria-label={`Open ${filename}`}>
        <span className="thumb">
          <Thumbnail media={media} onStale={onStale} />
          {media.durationSeconds !== null && media.kind !== 'image' && (
            <span className="badge duration">{formatDuration(media.durationSeconds)}</span>
          )}
          {media.quality !== null && <span className="badge quality">{media.quality}</span>}
          {status !== 'ready' && <span className="badge status">{statusText[status]}</span>}
        </span>
        <span className="card-text">
          <strong className="name" title={filename}>
            {filename}
          </strong>
          <span className="facts" title={media.reason === null ? undefined : factsLine(media)}>
            {factsLine(media)}
          </span>
        </span>
      </button>
    </li>
  )
}

const statusText = {
  processing: 'Processing',
  ready: 'Ready',
  rejected: 'Rejected',
  failed: 'Failed',
  deleted: 'Deleted',
} as const

function Thumbnail({ media, onStale }: Pick<Props, 'media' | 'onStale'>) {
  const [broken, setBroken] = useState<string | null>(null)
  const { id, thumbnailUrl, kind, status } = media
  if (thumbnailUrl === null || thumbnailUrl === broken)
    return <Icon name={status === 'rejected' || status === 'failed' ? 'alert' : (kind ?? 'file')} />
  return (
    <img
      src={thumbnailUrl}
      alt=""
      loading="lazy"
      decoding="async"
      onError={() => {
        // Once: a fresh link that fails as well is a missing picture, not an old link.
        if (broken === null) onStale(id)
        setBroken(thumbnailUrl)
      }}
    />
  )
}

function factsLine(media: Media): string {
  if (media.reason !== null) return inPlainWords(media.reason)
  const dimensions = media.width !== null && media.height !== null ? `${media.width} × ${media.height}` : ''
  return [dimensions, formatBytes(media.size)].filter(Boolean).join(' · ')
}
