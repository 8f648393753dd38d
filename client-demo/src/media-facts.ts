import type { Media } from './contract.ts'
import { formatBitrate, formatBytes, formatDuration } from './format.ts'

export interface Fact {
  readonly name: string
  readonly value: string
  /** To be shown in a fixed-width type. */
  readonly mono?: boolean
}

/** What is known of a media, in the order a person asks; unknown things are left out. */
export function factsOf(media: Media): readonly Fact[] {
  const { width, height, fps, durationSeconds, bitrate } = media
  const rows: readonly (Fact | null)[] = [
    fact('Type', media.contentType),
    fact('Size', `${formatBytes(media.size)} (${media.size.toLocaleString('en')} bytes)`),
    fact(
      'Duration',
      durationSeconds === null || media.kind === 'image' ? null : formatDuration(durationSeconds),
    ),
    fact('Dimensions', width === null || height === null ? null : `${width} × ${height}`),
    fact('Quality', media.quality),
    fact('Frame rate', fps === null || media.kind !== 'video' ? null : `${Number(fps.toFixed(2))} fps`),
    fact('Video codec', media.kind === 'video' ? media.videoCodec : null),
    fact(
      'Audio codec',
      media.audioCodec ?? (media.kind === 'video' && media.hasAudio === false ? 'no sound' : null),
    ),
    fact('Bitrate', bitrate === null || media.kind === 'image' ? null : formatBitrate(bitrate)),
    fact('Uploaded', new Date(media.createdAt).toLocaleString()),
    media.sha256 === null ? null : { name: 'SHA-256', value: media.sha256, mono: true },
  ]
  return rows.filter((row) => row !== null)
}

function fact(name: string, value: string | null): Fact | null {
  return value === null ? null : { name, value }
}
