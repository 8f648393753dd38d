import type { HlsNumber, RenditionKind } from '../../storage/store/keys.ts'

/** What a link leads to, below a media item. */
export type LinkTarget =
  | 'content'
  /** The file before it is ready, for the analysis engine. */
  | 'source'
  | 'thumbnail'
  | 'storyboard'
  | 'storyboard.vtt'
  | 'waveform'
  | 'hls.m3u8'
  | `hls/${HlsNumber}.m3u8`
  | `hls/${HlsNumber}.mp4`

type Kind = {
  /** Where its address leads. */
  target: LinkTarget
  /** The rendition that a media item needs for it; undefined where it needs none. */
  rendition: RenditionKind | undefined
  /** Whether it is one file, which can be saved under a name. Others are fetched by players, in several parts. */
  isFile: boolean
}

/** What can be asked for by a link, by its name in the API. */
export const LINK_KINDS = {
  content: { target: 'content', rendition: undefined, isFile: true },
  thumbnail: { target: 'thumbnail', rendition: 'thumbnail', isFile: true },
  storyboard: { target: 'storyboard.vtt', rendition: 'storyboard-cues', isFile: false },
  waveform: { target: 'waveform', rendition: 'waveform', isFile: false },
  hls: { target: 'hls.m3u8', rendition: 'hls', isFile: false },
} as const satisfies Record<string, Kind>

export type LinkKind = keyof typeof LINK_KINDS

export const LINK_KIND_NAMES = Object.keys(LINK_KINDS) as LinkKind[]

/** Whether a link to this target may be given to anybody: of a ready file, and nothing before that. */
export const isPublicTarget = (target: string): boolean =>
  /^(content|thumbnail|storyboard|storyboard\.vtt|waveform|hls\.m3u8|hls\/[1-6]\.(m3u8|mp4))$/.test(target)
