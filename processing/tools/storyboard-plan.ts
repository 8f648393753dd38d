import type { MediaRow } from '../../ledger/media.ts'
import type { PictureSize } from './shown-picture.ts'

/** The tiles of a storyboard and their times. Tile n shows the n-th interval, from 0. */
export type StoryboardPlan = { intervalMs: number; count: number; columns: number; tile: PictureSize }

const MAX_TILES = 100
const COLUMNS = 10
const TILE_WIDTH = 160
/** That of portrait video. Narrower video is shown narrower. */
const TILE_HEIGHT = 284
/** Short videos have shorter intervals. */
const SHORT_SECONDS = 30
const SHORT_INTERVAL_MS = 1_000
const INTERVAL_MS = 2_000

/** Undefined for what is not a video, or has no duration. */
export function planStoryboard(
  media: Pick<MediaRow, 'width' | 'height' | 'duration_seconds'>,
): StoryboardPlan | undefined {
  const { width, height, duration_seconds: seconds } = media
  if (!width || !height || !seconds) return undefined
  const closest = seconds < SHORT_SECONDS ? SHORT_INTERVAL_MS : INTERVAL_MS
  const intervalMs = Math.max(closest, Math.ceil((seconds * 1000) / MAX_TILES))
  const count = Math.min(Math.max(Math.ceil((seconds * 1000) / intervalMs), 1), MAX_TILES)
  const scale = Math.min(TILE_WIDTH / width, TILE_HEIGHT / height, 1)
  // Even, as most pixel formats have it.
  const side = (pixels: number) => Math.max(Math.round((pixels * scale) / 2) * 2, 2)
  return {
    intervalMs,
    count,
    columns: Math.min(count, COLUMNS),
    tile: { width: side(width), height: side(height) },
  }
}

/** Every frame is decoded; or the key frames in one pass; or each tile is sought separately. */
export type StoryboardMethod = 'all' | 'key-frames' | 'seek'

// Measured with H.264 on two slow cores, in seconds; only precise enough for the choice.
const SECONDS_PER_PIXEL = 1 / 1.2e9
const SECONDS_PER_BYTE = 1 / 250e6
const SECONDS_PER_SEEK = 0.1
/** Share of key frames, where not all frames are. */
const KEY_FRAMES = 1 / 20
/** Codecs in which every frame is a key frame. */
const INTRA_CODECS = /^(mjpeg|prores|dnxhd|dvvideo|ffv1|huffyuv|ffvhuff|utvideo|rawvideo|png|v210|cfhd)$/
/** Every frame is decoded only where that is cheap, or where there were too few key frames. */
const NOTHING_SECONDS = 0.3
const AFFORDABLE_SECONDS = 5

type Cost = Pick<MediaRow, 'width' | 'height' | 'fps' | 'duration_seconds' | 'size' | 'video_codec'>

/** The cheapest method: a long video is never decoded whole. */
export function storyboardMethod(media: Cost, count: number): StoryboardMethod {
  const all = secondsToDecode(media)
  if (all < NOTHING_SECONDS) return 'all'
  const share = INTRA_CODECS.test(media.video_codec ?? '') ? 1 : KEY_FRAMES
  return all * share + media.size * SECONDS_PER_BYTE < count * SECONDS_PER_SEEK ? 'key-frames' : 'seek'
}

/** Whether a video with too few key frames may be decoded whole. */
export const isAffordable = (media: Cost): boolean => secondsToDecode(media) < AFFORDABLE_SECONDS

function secondsToDecode({ width, height, fps, duration_seconds: seconds, size }: Cost): number {
  if (!width || !height || !fps || !seconds) return Number.POSITIVE_INFINITY
  return width * height * fps * seconds * SECONDS_PER_PIXEL + size * SECONDS_PER_BYTE
}
