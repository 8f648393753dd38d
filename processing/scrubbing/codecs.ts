import { UnreadableInput } from '../tools/tool-errors.ts'
import { aac } from './aac-elements.ts'
import { mjpeg } from './jpeg-segments.ts'
import { mp3 } from './mp3-frames.ts'
import { h264, hevc } from './nal-units.ts'
import { av1 } from './obus.ts'
import { opus } from './opus-head.ts'
import { atMost, type CodecScrub } from './scrub.ts'
import { mpegVideo } from './user-data.ts'
import { theora, vorbis } from './xiph-comments.ts'

/** A coded stream, as ffprobe names it. */
export type CodedStream = { codec: string; hasDolbyVision: boolean }

/** Its packets contain picture or sound only; its configuration has at most this many bytes. */
const bare = (maxConfigBytes: number) => (): CodecScrub => ({ config: atMost(maxConfigBytes) })

/** The codecs for which it is known where they can carry other data. */
const CODECS: Readonly<Record<string, (stream: CodedStream) => CodecScrub>> = {
  h264,
  hevc,
  av1,
  mpeg4: mpegVideo,
  mpeg2video: mpegVideo,
  mpeg1video: mpegVideo,
  mjpeg,
  theora,
  vp8: bare(0),
  vp9: bare(20),
  h263: bare(0),
  prores: bare(0),
  aac,
  mp3,
  vorbis,
  opus,
  flac: bare(34),
  alac: bare(60),
  amr_nb: bare(17),
  amr_wb: bare(17),
}
const PCM = /^pcm_(?:[su](?:8|16|24|32)|f(?:32|64))(?:le|be)?$|^pcm_(?:a|mu)law$/

const PHONES = [
  'h264',
  'hevc',
  'av1',
  'mpeg4',
  'h263',
  'mjpeg',
  'aac',
  'mp3',
  'alac',
  'amr_nb',
  'amr_wb',
  'pcm',
]

/** Codecs that are written for each type of file. There is no public copy of any other. */
const CONTAINERS: Readonly<Record<string, readonly string[]>> = {
  'video/mp4': [...PHONES, 'vp9', 'mpeg2video', 'mpeg1video', 'opus', 'flac'],
  'video/quicktime': [...PHONES, 'prores', 'mpeg2video'],
  'video/webm': ['vp8', 'vp9', 'av1', 'vorbis', 'opus'],
  'video/x-matroska': Object.keys(CODECS).concat('pcm'),
  'video/x-msvideo': ['h264', 'mpeg4', 'mjpeg', 'mp3', 'aac', 'pcm'],
  'audio/mpeg': ['mp3'],
  'audio/mp4': ['aac', 'alac'],
  'audio/wav': ['pcm'],
  'audio/webm': ['vorbis', 'opus'],
  'audio/x-matroska': ['aac', 'mp3', 'vorbis', 'opus', 'flac', 'alac', 'pcm'],
  'audio/ogg': ['vorbis', 'opus', 'flac'],
  'video/ogg': ['theora', 'vorbis', 'opus', 'flac'],
  'audio/flac': ['flac'],
  'audio/aac': ['aac'],
  'audio/aiff': ['pcm'],
  'audio/amr': ['amr_nb', 'amr_wb'],
}

/** Bytes between the position of a packet, as ffprobe reports it, and its first byte. */
const PACKET_AT: Readonly<Record<string, number>> = {
  // Track, time and flags of a block.
  'video/webm': 4,
  'video/x-matroska': 4,
  'audio/webm': 4,
  'audio/x-matroska': 4,
}
export const packetOffset = (contentType: string): number => PACKET_AT[contentType] ?? 0

const OGG = ['audio/ogg', 'video/ogg']
const XIPH = ['vorbis', 'theora']

/** Fails with `UnreadableInput` where such a stream is not written into such a file. */
export function scrubFor(contentType: string, stream: CodedStream): CodecScrub {
  const isPcm = PCM.test(stream.codec)
  const codec = isPcm ? bare(0) : CODECS[stream.codec]
  if (!codec || !CONTAINERS[contentType]?.includes(isPcm ? 'pcm' : stream.codec))
    throw new UnreadableInput(`what else ${stream.codec} in ${contentType} may carry is not known`)
  // Ogg has comments in separate packets, which ffmpeg writes itself.
  return OGG.includes(contentType) && XIPH.includes(stream.codec) ? { config: () => {} } : codec(stream)
}
