import type { MediaLimits } from '../content/media-limits.ts'
import type { Config } from './config.ts'

/** The limits on duration and picture size, as configured. */
export const mediaLimitsOf = (config: Config): MediaLimits => ({
  maxDurationSeconds: config.MEDIA_MAX_DURATION / 1000,
  minWidth: config.MEDIA_MIN_WIDTH,
  minHeight: config.MEDIA_MIN_HEIGHT,
  maxWidth: config.MEDIA_MAX_WIDTH,
  maxHeight: config.MEDIA_MAX_HEIGHT,
  maxImagePixels: config.IMAGE_MAX_MEGAPIXELS * 1_000_000,
})
