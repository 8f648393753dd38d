import type { Abilities } from './abilities.ts'

/** Pixels. */
export type PictureSize = { width: number; height: number }

/** A picture of a video in the size in which it is to be shown. `picture` is the stream, as in `0:1`. */
export type Shown = PictureSize & { picture: string; isHdr: boolean }

/**
 * HDR (PQ and HLG, in the colours of BT.2020) for displays without it: diffuse white is at 203 cd/m², as in ITU-R
 * BT.2408, and brighter parts are compressed. Unmapped it looks grey.
 */
const TO_SDR = [
  // Of the other formats with fewer samples of colour than pixels, zscale takes no odd sizes.
  'format=yuv444p10le',
  'setparams=color_primaries=bt2020:colorspace=bt2020nc',
  'zscale=transfer=linear:npl=203',
  'format=gbrpf32le',
  'zscale=primaries=bt709',
  'tonemap=mobius:desat=0',
  'zscale=transfer=bt709:matrix=bt709:range=tv',
  'format=yuv444p',
]

/** ffmpeg's filters that turn HDR into SDR; none for SDR, or where this ffmpeg cannot do it. */
export const toneMapping = (isHdr: boolean, { filters }: Abilities): string[] =>
  isHdr && filters.has('zscale') && filters.has('tonemap') ? TO_SDR : []

/** ffmpeg's filters for a picture as it is shown. Scaled first, as HDR takes its time for each pixel. */
export const shownFilters = (
  { width, height, isHdr }: Omit<Shown, 'picture'>,
  abilities: Abilities,
): string => [`scale=${width}:${height}`, ...toneMapping(isHdr, abilities), 'setsar=1'].join(',')
