import { atOnce, type CodecScrub, MAX_PICTURE_BYTES } from './scrub.ts'

// MPEG-1, MPEG-2 (ISO 13818-2) and MPEG-4 part 2 (ISO 14496-2) have user data between a start code and the next one.

const START = Buffer.of(0, 0, 1)
const USER_DATA = Buffer.of(0, 0, 1, 0xb2)
/** Decoders correct known faults of these encoders. */
const ENCODERS = /^(?:XviD\d{1,4}|DivX\d{1,4}(?:b|Build)\d{1,6}p?)/

export const mpegVideo = (): CodecScrub => ({
  config: (config) => atOnce(scrubUserData(config)),
  packets: () => scrubUserData,
  maxPacketBytes: MAX_PICTURE_BYTES,
})

function* scrubUserData(bytes: Buffer): Generator<void> {
  for (let at = bytes.indexOf(USER_DATA); at >= 0; at = bytes.indexOf(USER_DATA, at + 4)) {
    const next = bytes.indexOf(START, at + 4)
    const data = bytes.subarray(at + 4, next < 0 ? bytes.length : next)
    const [encoder = ''] = ENCODERS.exec(data.toString('latin1', 0, 32)) ?? []
    // Only zeros may precede the next start code.
    data.fill(0, encoder.length)
    yield
  }
}
