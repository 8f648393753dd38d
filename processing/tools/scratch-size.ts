import type { MediaRow } from '../../ledger/media.ts'
import { type HlsRendition, maxPictureBits } from './hls-plan.ts'

const MIB = 1024 * 1024
/** Overhead of a container per frame, and sound with its overhead. */
const CONTAINER_BITRATE = 40_000
const SOUND_BITRATE = 160_000
/** A PNG hardly has more, and a JPEG fewer. */
const BYTES_PER_PIXEL = 4

/** Limit in bytes of a remuxed file; a larger one is abandoned. */
export const maxCopyBytes = ({ size }: Pick<MediaRow, 'size'>): number => size + Math.ceil(size / 4) + MIB

/**
 * Scratch bytes for a public copy: the remuxed file, and the original where it has to be fetched from a bucket first.
 */
export const copyScratchBytes = (media: Pick<MediaRow, 'size' | 'storage_backend'>): number =>
  maxCopyBytes(media) + sourceRoom(media)

/** The same for HLS renditions, whose bit rates are bounded. */
export function hlsScratchBytes(
  media: Pick<MediaRow, 'size' | 'duration_seconds' | 'has_audio' | 'storage_backend'>,
  renditions: readonly HlsRendition[],
): number {
  const seconds = media.duration_seconds ?? 0
  const beside = seconds * (CONTAINER_BITRATE + (media.has_audio ? SOUND_BITRATE : 0))
  const bits = renditions.reduce((sum, one) => sum + maxPictureBits(one, seconds) + beside, 0)
  return Math.ceil(bits / 8) + renditions.length * MIB + sourceRoom(media)
}

/** The same for pictures of the size of the media item or, where it has none, of a square of `maxSide` pixels. */
export const convertedScratchBytes = (
  media: Pick<MediaRow, 'size' | 'width' | 'height' | 'storage_backend'>,
  { maxSide, pages }: { maxSide: number; pages: number },
): number =>
  (media.width ?? maxSide) * (media.height ?? maxSide) * BYTES_PER_PIXEL * pages + MIB + sourceRoom(media)

const sourceRoom = ({ size, storage_backend }: Pick<MediaRow, 'size' | 'storage_backend'>): number =>
  storage_backend === 'disk' ? 0 : size
