const CLASSES = [
  [2160, '4k'],
  [1440, '1440p'],
  [1080, '1080p'],
  [720, '720p'],
  [480, '480p'],
] as const

/** The usual name for a picture of this size, by its shorter side, so that portrait video is named alike. */
export function qualityOf(width: number, height: number): string {
  const shorter = Math.min(width, height)
  return CLASSES.find(([pixels]) => shorter >= pixels)?.[1] ?? '360p'
}
