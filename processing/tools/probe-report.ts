import { ContentRejected } from '../../content/verdict.ts'
import { missingIn } from './damage-report.ts'
import { lengthOfAll, type StreamTimes } from './packet-times.ts'
import { type ProbedStream, readStreams, type Streams } from './streams.ts'

/** Transfer functions of PQ and HLG. */
const HDR_TRANSFERS: readonly (string | undefined)[] = ['smpte2084', 'arib-std-b67']
/** A language tag as containers store it; other values are left out. */
const LANGUAGE = /^[a-z]{2,3}(-[a-z0-9]{1,8}){0,3}$/i
const UNKNOWN_LANGUAGE = 'und'
/** A declared duration or rate counts where the packets agree with it up to this. */
const AGREEING_SECONDS = 0.5
const AGREEING_PART = 0.02
/** No display shows more; some files declare their clock instead. */
const MAX_FPS = 960

/** A report of ffprobe that read every packet, and its messages. */
export type Probed = {
  json: unknown
  times: ReadonlyMap<number, StreamTimes>
  complaints: string
  size: number
  /** Whether the header of such files says how much they hold, and they end where the samples do. */
  isLengthExact?: boolean
}

/**
 * The facts in ffprobe's report. Duration and rate are measured by the packets; what the header declares counts only
 * where they agree. Width and height are as shown: rotated, and stretched by the shape of the pixels. Fails with
 * `ContentRejected` when the file is damaged or has neither picture nor sound.
 */
export function readProbe({ json, times, complaints, size, isLengthExact = false }: Probed) {
  const streams = readStreams(json, times)
  if (!streams || missingIn(complaints, { picture: streams.picture?.codec_name }) !== undefined)
    throw damaged('The file is damaged or incomplete.')
  const { picture, sound, pictures, sounds } = streams
  if (!picture && !sound) throw nothingToPlay(streams, times)
  if (![picture, sound].some((stream) => stream && times.has(stream.index)))
    throw damaged('The file contains no data.')
  if (isLengthExact && isShort(streams, times))
    throw damaged('The file is incomplete: it lasts shorter than its header says.')

  const duration = durationOf(streams, times)
  const rotation = picture ? rotationOf(picture) : null
  const shown = picture ? shownSize(picture, rotation) : { width: null, height: null }
  return {
    duration_seconds: duration,
    ...shown,
    coded_width: picture?.width ?? null,
    coded_height: picture?.height ?? null,
    picture_stream: picture?.index ?? null,
    sound_stream: sound?.index ?? null,
    fps: picture ? rateOf(picture, times.get(picture.index)) : null,
    video_codec: picture?.codec_name ?? null,
    audio_codec: sound?.codec_name ?? null,
    has_audio: sound !== undefined,
    bitrate: (duration && Math.round((size * 8) / duration)) || null,
    rotation,
    is_hdr: picture ? HDR_TRANSFERS.includes(picture.color_transfer) : null,
    video_streams: pictures.length,
    audio_streams: sounds.length,
    captions: captionsOf(streams.all),
  }
}

const damaged = (detail: string) => new ContentRejected({ code: 'damaged', detail })

/** Subtitles and the like are no damage where they can be read. */
function nothingToPlay({ all }: Streams, times: ReadonlyMap<number, StreamTimes>): ContentRejected {
  const isRead = all.some(
    ({ index, codec_type: type }) => type !== undefined && type !== 'unknown' && times.has(index),
  )
  if (!isRead) return damaged('The file is damaged or incomplete.')
  const types = [...new Set(all.map((s) => s.codec_type ?? 'unknown'))].join(', ')
  const detail = `The file contains neither picture nor sound, only streams of these types: ${types}.`
  return new ContentRejected({ code: 'no-media', detail })
}

/** Whether the packets end before what the header says. */
function isShort(
  { pictures, sounds, declaredSeconds = 0 }: Streams,
  times: ReadonlyMap<number, StreamTimes>,
): boolean {
  const measured = lengthOfAll([...pictures, ...sounds].flatMap(({ index }) => times.get(index) ?? []))
  return (
    measured !== undefined &&
    declaredSeconds > measured.fromFirst &&
    !agree(declaredSeconds, measured.fromFirst)
  )
}

/** Seconds of picture and sound. Null where neither packets nor header tell. */
function durationOf(
  { pictures, sounds, picture, sound, declaredSeconds }: Streams,
  times: ReadonlyMap<number, StreamTimes>,
): number | null {
  const measured = lengthOfAll([...pictures, ...sounds].flatMap(({ index }) => times.get(index) ?? []))
  const declared = declaredSeconds ?? picture?.duration ?? sound?.duration
  if (measured === undefined || measured.fromFirst <= 0) return declared ?? null
  const { fromFirst, fromZero } = measured
  const isSo = declared !== undefined && (agree(declared, fromFirst) || agree(declared, fromZero))
  return isSo ? declared : round(fromFirst)
}

const agree = (declared: number, measured: number): boolean =>
  Math.abs(declared - measured) <= Math.max(AGREEING_SECONDS, measured * AGREEING_PART)

/** Frames per second; null for a single picture, or without timestamps. */
function rateOf(picture: ProbedStream, times: StreamTimes | undefined): number | null {
  const declared = [picture.avg_frame_rate, picture.r_frame_rate].map(fraction)
  if (!times || times.packets < 2 || times.seconds <= 0)
    return declared.find((rate) => rate !== null && rate <= MAX_FPS) ?? null
  const { packets, seconds } = times
  // Each packet may hold one of the two fields of a frame; and a short video is a frame longer or shorter.
  const isSame = (rate: number | null) =>
    rate !== null &&
    [1, 2].some(
      (fields) => Math.abs(rate * fields * seconds - packets) <= Math.max(packets * AGREEING_PART, 1.5),
    )
  return declared.find(isSame) ?? round(packets / seconds)
}

/** ffprobe's fraction, to three digits; null when there is none. */
function fraction(text: string | undefined): number | null {
  const [numerator = 0, denominator = 1] = (text ?? '').split('/').map(Number)
  const rate = numerator / denominator
  return Number.isFinite(rate) && rate > 0 ? round(rate) : null
}

const round = (value: number): number => Math.round(value * 1000) / 1000

/** As players show it. The pixels of the stored picture may be wider than high; height stays as it is. */
function shownSize({ width, height, sample_aspect_ratio: ratio }: ProbedStream, rotation: number | null) {
  if (width === undefined || height === undefined) return { width: null, height: null }
  const [across = 1, down = 1] = (ratio ?? '').split(':').map(Number)
  const shape = across > 0 && down > 0 ? across / down : 1
  const wide = Math.max(Math.round(width * shape), 1)
  return rotation === 90 || rotation === 270 ? { width: height, height: wide } : { width: wide, height }
}

/** Degrees clockwise, 0 to 359; ffprobe counts counter-clockwise. */
function rotationOf({ side_data_list: data }: ProbedStream): number {
  const turned = Math.round(data?.find((d) => d.rotation !== undefined)?.rotation ?? 0)
  return (360 - (((turned % 360) + 360) % 360)) % 360
}

/** Languages of the subtitle streams, each once, in order; captions within the picture have none. */
function captionsOf(streams: readonly ProbedStream[]): string[] {
  const languages = streams.flatMap(({ codec_type, closed_captions, tags: { language = '' } = {} }) => {
    if (codec_type === 'subtitle') return LANGUAGE.test(language) ? language.toLowerCase() : UNKNOWN_LANGUAGE
    return closed_captions ? UNKNOWN_LANGUAGE : []
  })
  return [...new Set(languages)]
}
