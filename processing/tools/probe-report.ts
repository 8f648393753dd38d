import { z } from 'zod'
import { ContentRejected } from '../../content/verdict.ts'
import type { MediaFacts } from '../../ledger/media.ts'

const NumberText = z.coerce.number().finite().nonnegative().optional().catch(undefined)

const Stream = z.object({
  codec_type: z.string().optional(),
  codec_name: z.string().optional(),
  width: z.number().int().positive().optional(),
  height: z.number().int().positive().optional(),
  avg_frame_rate: z.string().optional(),
  r_frame_rate: z.string().optional(),
  duration: NumberText,
  nb_read_packets: NumberText,
  color_transfer: z.string().optional(),
  closed_captions: z.number().optional(),
  tags: z.object({ language: z.string().optional().catch(undefined) }).optional(),
  disposition: z.object({ attached_pic: z.number().optional() }).optional(),
  side_data_list: z.array(z.object({ rotation: z.number().optional() })).optional(),
})

const Report = z.object({
  streams: z.array(Stream).default([]),
  format: z
    .object({ duration: NumberText, bit_rate: NumberText, size: NumberText })
    .default({ duration: undefined, bit_rate: undefined, size: undefined }),
})

/** Transfer functions of PQ and HLG. */
const HDR_TRANSFERS: readonly (string | undefined)[] = ['smpte2084', 'arib-std-b67']
/** A language tag as containers store it; other values are left out. */
const LANGUAGE = /^[a-z]{2,3}(-[a-z0-9]{1,8}){0,3}$/i
const UNKNOWN_LANGUAGE = 'und'

/** ffprobe's messages, with exit code 0, when bytes are missing. */
const DAMAGE =
  /partial file|ended prematurely|truncat|invalid data found|moov atom not found|error reading|corrupt/i

/**
 * The facts in ffprobe's report. The first real video stream and the first audio stream count; width and height are as
 * shown, after rotation. Fails with `ContentRejected` when the file is damaged or empty.
 */
export function readProbe(json: unknown, read: { size: number; complaints: string }): MediaFacts {
  const parsed = Report.safeParse(json)
  if (!parsed.success || DAMAGE.test(read.complaints)) {
    throw new ContentRejected({ code: 'damaged', detail: 'The file is damaged or incomplete.' })
  }
  const { streams, format } = parsed.data
  // Cover art is a video stream of one picture.
  const videos = streams.filter((s) => s.codec_type === 'video' && !s.disposition?.attached_pic)
  const sounds = streams.filter((s) => s.codec_type === 'audio')
  const [video] = videos
  const [audio] = sounds
  if (!video && !audio)
    throw new ContentRejected({ code: 'damaged', detail: 'The file contains neither video nor audio.' })
  if ([video, audio].every((s) => !s?.nb_read_packets))
    throw new ContentRejected({ code: 'damaged', detail: 'The file contains no data.' })

  const duration = format.duration ?? video?.duration ?? audio?.duration ?? null
  const rotation = video ? rotationOf(video) : null
  const isTurned = rotation === 90 || rotation === 270
  return {
    duration_seconds: duration,
    width: (isTurned ? video?.height : video?.width) ?? null,
    height: (isTurned ? video?.width : video?.height) ?? null,
    fps: frameRate(video?.avg_frame_rate) ?? frameRate(video?.r_frame_rate),
    video_codec: video?.codec_name ?? null,
    audio_codec: audio?.codec_name ?? null,
    has_audio: audio !== undefined,
    bitrate: Math.round(format.bit_rate ?? (duration ? (read.size * 8) / duration : 0)) || null,
    rotation,
    is_hdr: video ? HDR_TRANSFERS.includes(video.color_transfer) : null,
    video_streams: videos.length,
    audio_streams: sounds.length,
    captions: captionsOf(streams),
  }
}

/** Degrees clockwise, 0 to 359; ffprobe counts counter-clockwise. */
function rotationOf({ side_data_list: data }: z.output<typeof Stream>): number {
  const turned = Math.round(data?.find((d) => d.rotation !== undefined)?.rotation ?? 0)
  return (360 - (((turned % 360) + 360) % 360)) % 360
}

/** Languages of the subtitle streams, each once, in order; captions within the picture have none. */
function captionsOf(streams: readonly z.output<typeof Stream>[]): string[] {
  const languages = streams.flatMap(({ codec_type, closed_captions, tags: { language = '' } = {} }) => {
    if (codec_type === 'subtitle') return LANGUAGE.test(language) ? language.toLowerCase() : UNKNOWN_LANGUAGE
    return closed_captions ? UNKNOWN_LANGUAGE : []
  })
  return [...new Set(languages)]
}

/** Bytes of the input as ffprobe saw it; undefined when it does not report them. */
export function inputSize(json: unknown): number | undefined {
  return Report.safeParse(json).data?.format.size
}

/** Frames per second of ffprobe's fraction, to three digits; null when there is none. */
function frameRate(fraction: string | undefined): number | null {
  const [numerator = 0, denominator = 1] = (fraction ?? '').split('/').map(Number)
  const rate = numerator / denominator
  return Number.isFinite(rate) && rate > 0 ? Math.round(rate * 1000) / 1000 : null
}
