import type { MediaRow } from '../ledger/media.ts'
import { HLS_NUMBERS, type HlsNumber } from '../storage/keys.ts'

/** One rendition of a video; number 1 has the largest picture. */
export type HlsRendition = {
  number: HlsNumber
  /** Pixels, both even, as H.264 has its colours by two. */
  width: number
  height: number
  /** Bits per second that the picture takes over some seconds at most. */
  maxBitrate: number
}

/** Bits per second of 1080p at up to 30 frames; others by their pixels, of which the more need less each. */
const FULL_HD_BITRATE = 5_000_000
const FULL_HD_PIXELS = 1920 * 1080
const SAVING = 0.75
const FAST_FPS = 30
const FAST_FACTOR = 1.5

/**
 * The renditions of a video in these heights, largest first: those that it has itself, or else one as it is. The
 * height is that of the shorter side, as in the names of qualities. Empty for what has no size.
 */
export function planHls(
  { width, height, fps }: Pick<MediaRow, 'width' | 'height' | 'fps'>,
  heights: readonly number[],
): HlsRendition[] {
  if (!width || !height) return []
  const shorter = Math.min(width, height)
  const fitting = heights.filter((pixels) => pixels <= shorter).toSorted((a, b) => b - a)
  const chosen = fitting.length > 0 ? fitting : [shorter]
  return HLS_NUMBERS.slice(0, chosen.length).map((number, index) => {
    const scale = (chosen[index] ?? shorter) / shorter
    const size = { width: even(width * scale), height: even(height * scale) }
    return { number, ...size, maxBitrate: bitrateOf(size, fps) }
  })
}

/** No larger than it is by as much as a pixel. */
const even = (pixels: number): number => Math.max(Math.floor((pixels + 1e-6) / 2) * 2, 2)

function bitrateOf({ width, height }: { width: number; height: number }, fps: number | null): number {
  const bitrate = FULL_HD_BITRATE * ((width * height) / FULL_HD_PIXELS) ** SAVING
  return Math.round((bitrate * ((fps ?? 0) > FAST_FPS ? FAST_FACTOR : 1)) / 1000) * 1000
}
