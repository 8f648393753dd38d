import { z } from 'zod'
import type { MediaRow } from '../../ledger/media.ts'
import type { MediaKind } from '../../ledger/schema.ts'

// A remux writes the coded picture and sound of a file into a new container, and nothing else: no
// place, device, date, title, comment, chapter, cover, attachment or data track, and no captions, because drones write
// their position into those. Rotation, colours (HDR), 360° and the language of a sound are kept. What codecs themselves
// carry is overwritten afterwards: see `scrubbing/`.

const Stream = z.object({
  index: z.number().int().nonnegative(),
  codec_type: z.string().optional(),
  codec_name: z.string().optional(),
  tags: z.object({ language: z.string().optional().catch(undefined) }).optional(),
  disposition: z
    .object({ attached_pic: z.number().optional(), timed_thumbnails: z.number().optional() })
    .optional(),
})
const Report = z.object({ streams: z.array(Stream) })

/** The streams of a public copy, by their numbers in the file. */
export type RemuxPlan = {
  video: readonly number[]
  /** With their languages, where known (ISO 639-2). */
  audio: readonly { index: number; language: string | undefined }[]
}

/** A language code and nothing else. */
const LANGUAGE = /^[a-z]{3}$/
const MAX_STREAMS = 32

/**
 * The streams to keep, by ffprobe's report: pictures that are not covers, and sounds. Streams of unknown codecs cannot
 * be written. Undefined where none is left, or far too many.
 */
export function planRemux(json: unknown, kind: MediaKind | null): RemuxPlan | undefined {
  const streams = Report.safeParse(json).data?.streams ?? []
  const known = streams.filter(({ codec_name }) => codec_name !== undefined && codec_name !== 'unknown')
  const video = known.filter(
    ({ codec_type: type, disposition }) =>
      kind === 'video' && type === 'video' && !disposition?.attached_pic && !disposition?.timed_thumbnails,
  )
  const audio = known.filter(({ codec_type }) => codec_type === 'audio')
  const count = video.length + audio.length
  if (count === 0 || count > MAX_STREAMS || (kind === 'video' && video.length === 0)) return undefined
  return {
    video: video.map(({ index }) => index),
    audio: audio.map(({ index, tags: { language = '' } = {} }) => ({
      index,
      language: LANGUAGE.test(language) && language !== 'und' ? language : undefined,
    })),
  }
}

/** One way to write a file: ffmpeg's muxer and its options. */
export type Muxer = readonly [format: string, ...options: string[]]

const INDEX_FIRST = ['-movflags', '+faststart', '-write_tmcd', '0'] as const

/** How files of a content type are written, by the first muxer that can hold their streams. */
const MUXERS: Readonly<Record<string, readonly Muxer[]>> = {
  // Also recordings of old phones, and sounds that mp4 does not allow.
  'video/mp4': [
    ['mp4', ...INDEX_FIRST],
    ['3gp', ...INDEX_FIRST],
  ],
  'video/quicktime': [['mov', ...INDEX_FIRST]],
  'video/webm': [['webm']],
  'video/x-matroska': [['matroska']],
  'video/x-msvideo': [['avi']],
  'audio/mpeg': [['mp3', '-id3v2_version', '0', '-write_id3v1', '0']],
  'audio/mp4': [['ipod', ...INDEX_FIRST]],
  'audio/wav': [['wav']],
  'audio/ogg': [['ogg']],
  'video/ogg': [['ogg']],
  'audio/webm': [['webm']],
  'audio/x-matroska': [['matroska']],
  'audio/flac': [['flac']],
  'audio/aac': [['adts']],
  'audio/aiff': [['aiff']],
  'audio/amr': [['amr']],
}

export const muxersOf = (contentType: string): readonly Muxer[] => MUXERS[contentType] ?? []

/** Containers that browsers do not play, and that cannot be overwritten in place, have copies as MP4. */
const COPIED_AS_MP4: readonly (string | null)[] = ['video/mp2t', 'video/mpeg', 'video/x-flv']

/** The media type of the public copy of a video or a sound. */
export const copyTypeOf = ({ content_type: type, kind }: Pick<MediaRow, 'content_type' | 'kind'>): string =>
  COPIED_AS_MP4.includes(type) ? (kind === 'audio' ? 'audio/mp4' : 'video/mp4') : (type ?? '')

/** Options before the input, for an old container without timestamps. */
export const remuxInputArguments = ([format]: Muxer): string[] =>
  format === 'avi' ? ['-fflags', '+genpts'] : []

/** Options after the input. */
export function remuxArguments(
  { video, audio }: RemuxPlan,
  { muxer, path, maxBytes }: { muxer: Muxer; path: string; maxBytes: number },
): string[] {
  const [format, ...options] = muxer
  const indexes = [...video, ...audio.map(({ index }) => index)]
  const languages = audio.flatMap(({ language }, n) =>
    language === undefined ? [] : [`-metadata:s:a:${n}`, `language=${language}`],
  )
  return [
    ...indexes.flatMap((index) => ['-map', `0:${index}`]),
    ...['-c', 'copy', '-map_metadata', '-1', '-map_metadata:s', '-1', '-map_chapters', '-1'],
    ...languages,
    // Nor the writing program and the date.
    ...['-fflags', '+bitexact', '-flags:v', '+bitexact', '-flags:a', '+bitexact'],
    // Dolby Vision and 360° are not official parts of mp4.
    ...['-strict', 'unofficial', ...options, '-fs', String(maxBytes), '-f', format, path],
  ]
}
