import type { RemuxPlan } from './remux-arguments.ts'

/**
 * What of a file is hashed: its packets as they are, all of its sound decoded, the first frames of its pictures decoded (a
 * minute or so), or its key frames decoded, from the beginning to the end.
 */
export type Hashed = 'packets' | 'sound' | 'first-frames' | 'key-frames'

/** Numbers of streams in a file. */
export type HashedStreams = { video: readonly number[]; audio: readonly number[] }

const FIRST_FRAMES = 1500
/** As many as a film of two hours has; the first minutes of a codec that has no other frames. */
const MAX_KEY_FRAMES = 3600

/** Of the file that was read. */
export const readStreams = ({ video, audio }: RemuxPlan): HashedStreams => ({
  video,
  audio: audio.map(({ index }) => index),
})

/** Of the file that was written: in the order in which its streams are written. */
export const writtenStreams = ({ video, audio }: RemuxPlan): HashedStreams => ({
  video: video.map((_, n) => n),
  audio: audio.map((_, n) => video.length + n),
})

/** What ffmpeg is told in front of the input, and behind it. */
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
      // A file may have frames that cannot be decoded, and the copy has the same ones.
      ...['-max_error_rate', '1'],
      // What players cut off of a sound is in the container, and may be told differently.
      ...['-flags2', '+skip_manual'],
      ...(hashed === 'key-frames' ? ['-skip_frame', 'nokey'] : []),
    ],
    behind: [
      ...streams.flatMap((index) => ['-map', `0:${index}`]),
      ...how,
      // Of 128 bits, and quicker than decoders.
      ...['-f', 'streamhash', '-hash', 'murmur3', 'pipe:1'],
    ],
  }
}
