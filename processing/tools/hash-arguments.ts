import type { RemuxPlan } from './remux-arguments.ts'

/**
 * What is hashed: all packets, all decoded sound, the decoded first frames (about a minute), or all decoded key frames.
 */
export type Hashed = 'packets' | 'sound' | 'first-frames' | 'key-frames'

/** Numbers of streams in a file. */
export type HashedStreams = { video: readonly number[]; audio: readonly number[] }

const FIRST_FRAMES = 1500
/** About two hours of video; the first minutes of a codec with key frames only. */
const MAX_KEY_FRAMES = 3600

/** Of the original. */
export const readStreams = ({ video, audio }: RemuxPlan): HashedStreams => ({
  video,
  audio: audio.map(({ index }) => index),
})

/** Of the written file, in the order in which its streams are written. */
export const writtenStreams = ({ video, audio }: RemuxPlan): HashedStreams => ({
  video: video.map((_, n) => n),
  audio: audio.map((_, n) => video.length + n),
})

/** ffmpeg's options before and after the input. */
export function hashArguments(
  hashed: Hashed,
  { video, audio }: HashedStreams,
): { before: string[]; behind: string[] } {
  const streams = { packets: [...video, ...audio], sound: audio, 'first-frames': video, 'key-frames': video }[
    hashed
  ]
  const frames = (count: number) => ['-fps_mode', 'passthrough', '-frames:v', String(count)]
  const how = {
    packets: ['-c', 'copy'],
    sound: [],
    'first-frames': frames(FIRST_FRAMES),
    'key-frames': frames(MAX_KEY_FRAMES),
  }[hashed]
  return {
    before: [
      // Frames of the file that cannot be decoded are the same in the copy.
      ...['-max_error_rate', '1'],
      // The container says what players skip of a sound, and may say it differently.
      ...['-flags2', '+skip_manual'],
      ...(hashed === 'key-frames' ? ['-skip_frame', 'nokey'] : []),
    ],
    behind: [
      ...streams.flatMap((index) => ['-map', `0:${index}`]),
      ...how,
      // 128 bits, and faster than the decoders.
      ...['-f', 'streamhash', '-hash', 'murmur3', 'pipe:1'],
    ],
  }
}
