import type { MediaRow } from '../ledger/media.ts'
import type { HlsRendition } from './hls-plan.ts'

const MIB = 1024 * 1024
/** Sound, and what a container has around both. */
const BESIDE_PICTURE_BITRATE = 200_000

/** Bytes that a file may have which is written anew without its metadata; one that became larger is given up. */
export const mostCopyBytes = ({ size }: Pick<MediaRow, 'size'>): number => size + Math.ceil(size / 4) + MIB

/**
 * Bytes that a public copy may need: the file in scratch, and either that file once more where it is stored on the
 * same disk, or the original, which a bucket has to hand over first.
 */
export const copyRoom = (media: Pick<MediaRow, 'size'>): number => 2 * mostCopyBytes(media)

/** The same of renditions for streaming, whose bit rates are bounded. */
export function hlsRoom(
  { size, duration_seconds: seconds }: Pick<MediaRow, 'size' | 'duration_seconds'>,
  renditions: readonly HlsRendition[],
  backend: 'disk' | 's3',
): number {
  const bitrate = renditions.reduce((sum, { maxBitrate }) => sum + maxBitrate + BESIDE_PICTURE_BITRATE, 0)
  const encoded = Math.ceil(((seconds ?? 0) * bitrate) / 8) + renditions.length * MIB
  return encoded + (backend === 'disk' ? encoded : size)
}
