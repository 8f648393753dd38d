import type { MediaRow } from '../../ledger/media.ts'
import { HLS_NUMBERS, type HlsNumber } from '../../storage/store/keys.ts'

/** One rendition of a video; number 1 has the largest picture. */
export type HlsRendition = {
  number: HlsNumber
  /** Pixels, both even, as H.264 requires for its chroma. */
  width: number
  height: number
  /** Highest bits per second of the picture in the long run. */
  maxBitrate: number
  /** Bits that it may take beyond that at once, such as for the first picture of a still. */
  burstBits: number
}

/** For 1080p at up to 30 frames per second; other sizes by their pixels, with less per pixel the larger they are. */
const FULL_HD_BITRATE = 5_000_000
const FULL_HD_PIXELS = 1920 * 1080
const SAVING = 0.75
const FAST_FPS = 30
const FAST_FACTOR = 1.5
/** H.264 bits per bit of the source, whose codec may be better; more would not improve the picture. */
const SOURCE_FACTOR = 3
/** Of the highest bit rate of a picture of its size: needed for the pictures at which segments begin. */
const LEAST_PART = 1 / 16
/** Seconds of the highest bit rate that a burst may take. */
const BURST_SECONDS = 2

type PlannedMedia = Pick<MediaRow, 'width' | 'height' | 'fps' | 'size' | 'duration_seconds'>

/**
 * The renditions of a video in these heights, largest first: those up to its own, or one in its own height. The height
 * is that of the shorter side, as in the names of qualities. Empty for what has no size.
 */
export function planHls(
  { width, height, fps, ...source }: PlannedMedia,
  heights: readonly number[],
): HlsRendition[] {
  if (!width || !height) return []
  const shorter = Math.min(width, height)
  const fitting = heights.filter((pixels) => pixels <= shorter).toSorted((a, b) => b - a)
  const chosen = fitting.length > 0 ? fitting : [shorter]
  return HLS_NUMBERS.slice(0, chosen.length).map((number, index) => {
    const scale = (chosen[index] ?? shorter) / shorter
    const size = { width: even(width * scale), height: even(height * scale) }
    const most = bitrateOf(size, fps)
    const maxBitrate = Math.min(most, Math.max(SOURCE_FACTOR * sourceBitrate(source), LEAST_PART * most))
    return { number, ...size, maxBitrate: Math.round(maxBitrate), burstBits: BURST_SECONDS * most }
  })
}

/** Upper bound in bits for the picture of a rendition. */
export const maxPictureBits = ({ maxBitrate, burstBits }: HlsRendition, seconds: number): number =>
  maxBitrate * seconds + burstBits

const sourceBitrate = ({
  size,
  duration_seconds: seconds,
}: Omit<PlannedMedia, 'width' | 'height' | 'fps'>) =>
  seconds ? (8 * size) / seconds : Number.POSITIVE_INFINITY

/** The nearest even number that is less than a pixel larger. */
const even = (pixels: number): number => Math.max(Math.floor((pixels + 1e-6) / 2) * 2, 2)

function bitrateOf({ width, height }: { width: number; height: number }, fps: number | null): number {
  const bitrate = FULL_HD_BITRATE * ((width * height) / FULL_HD_PIXELS) ** SAVING
  return Math.round((bitrate * ((fps ?? 0) > FAST_FPS ? FAST_FACTOR : 1)) / 1000) * 1000
}
