import { z } from 'zod'
import type { MediaRow } from '../../ledger/media.ts'
import type { StreamTimes } from './packet-times.ts'

const NumberText = z.coerce.number().finite().nonnegative().optional().catch(undefined)

const Stream = z.object({
  index: z.number().int().nonnegative().default(0),
  codec_type: z.string().optional(),
  codec_name: z.string().optional(),
  width: z.number().int().positive().optional().catch(undefined),
  height: z.number().int().positive().optional().catch(undefined),
  sample_aspect_ratio: z.string().optional(),
  avg_frame_rate: z.string().optional(),
  r_frame_rate: z.string().optional(),
  duration: NumberText,
  color_transfer: z.string().optional(),
  closed_captions: z.number().optional(),
  tags: z.object({ language: z.string().optional().catch(undefined) }).optional(),
  disposition: z
    .object({
      default: z.number().optional(),
      attached_pic: z.number().optional(),
      timed_thumbnails: z.number().optional(),
    })
    .optional(),
  side_data_list: z.array(z.object({ rotation: z.number().optional() })).optional(),
})

const Report = z.object({
  streams: z.array(Stream).default([]),
  format: z
    .object({ duration: NumberText, size: NumberText })
    .default({ duration: undefined, size: undefined }),
})

export type ProbedStream = z.output<typeof Stream>

/** The streams of a file, by ffprobe's report: which is its picture, and which its sound. */
export type Streams = {
  all: readonly ProbedStream[]
  /** Without covers and the pictures of chapters; and without empty tracks, where there is sound. */
  pictures: readonly ProbedStream[]
  sounds: readonly ProbedStream[]
  /**
   * The one that is shown, for every step; undefined where there is none. As players choose: what can be decoded and has
   * packets, of this what is marked as the default, of this the first.
   */
  picture: ProbedStream | undefined
  /** The one that is heard, chosen alike. */
  sound: ProbedStream | undefined
  /** Seconds by the header of the file; undefined where it has none. */
  declaredSeconds: number | undefined
}

/** `times` of the packets, by the numbers of their streams; empty where they were not read. Undefined where this is no report of ffprobe. */
export function readStreams(json: unknown, times: ReadonlyMap<number, StreamTimes>): Streams | undefined {
  const report = Report.safeParse(json).data
  if (!report) return undefined
  const { streams: all, format } = report
  const preferred = (streams: readonly ProbedStream[]) => {
    const rank = (stream: ProbedStream) =>
      (isKnownCodec(stream) ? 4 : 0) + (times.has(stream.index) ? 2 : 0) + (stream.disposition?.default ?? 0)
    const best = Math.max(...streams.map(rank))
    return streams.find((stream) => rank(stream) === best)
  }
  const sounds = all.filter((s) => s.codec_type === 'audio')
  const isHeard = sounds.some(({ index }) => times.has(index))
  const pictures = all.filter(
    (s) => s.codec_type === 'video' && !isStill(s) && (!isHeard || times.has(s.index)),
  )
  return {
    all,
    pictures,
    sounds,
    picture: preferred(pictures),
    sound: preferred(sounds),
    declaredSeconds: format.duration,
  }
}

/** Bytes of the input as ffprobe saw it; undefined when it does not report them. */
export const inputSize = (json: unknown): number | undefined => Report.safeParse(json).data?.format.size

/** A cover, or a picture of a chapter. */
const isStill = ({ disposition }: ProbedStream): boolean =>
  disposition?.attached_pic === 1 || disposition?.timed_thumbnails === 1

/** ffprobe names no codec that it does not know. */
const isKnownCodec = ({ codec_name: name }: ProbedStream): boolean =>
  name !== undefined && name !== 'unknown' && name !== 'none'

/**
 * Picture and sound of a media item, as stream specifiers of ffmpeg (`0:1`). Rows of earlier releases have no
 * numbers: the first streams count.
 */
export function streamsOf({
  picture_stream,
  sound_stream,
}: Pick<MediaRow, 'picture_stream' | 'sound_stream'>) {
  return {
    picture: picture_stream === null ? '0:V:0' : `0:${picture_stream}`,
    sound: sound_stream === null ? '0:a:0' : `0:${sound_stream}`,
  }
}
