import { BitReader } from './bit-reader.ts'
import { atMost, type Blank, type CodecScrub, cannotFollow, MAX_SOUND_BYTES } from './scrub.ts'

// A frame of MP3 (ISO 11172-3, 13818-3) declares how many bits of sound it has and how far before itself they begin.
// The bytes between the sound of two frames are "ancillary data", which may contain anything.

/** kbit/s of layer III by the index in the header: of version 1, and of 2 and 2.5. */
const BITRATES = [
  [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
] as const
const RATES = [44_100, 48_000, 32_000] as const
/** Of `MPEGLAYER3WAVEFORMAT`. */
const CONFIG_BYTES = 12

type Frame = {
  bytes: number
  /** Where its share of the main data begins. */
  dataAt: number
  /** How many bytes of main data before that its sound begins. */
  backwards: number
  soundBits: number
}

export const mp3 = (): CodecScrub => ({
  config: atMost(CONFIG_BYTES),
  packets: () => scrubPackets(),
  maxPacketBytes: MAX_SOUND_BYTES,
})

/** Contiguous main data in the file. */
type MainDataRange = { from: number; position: number; bytes: number }

function scrubPackets() {
  const ranges: MainDataRange[] = []
  /** Bytes of main data so far, and where in them the sound of the last frame ends. */
  let total = 0
  let ended = 0
  const clear = (from: number, to: number, blank: Blank): void => {
    let behind = 0
    for (const range of ranges) {
      if (range.from >= to) break
      const rangeEnd = range.from + range.bytes
      const start = Math.max(from, range.from)
      const end = Math.min(to, rangeEnd)
      if (start < end) blank(range.position + start - range.from, end - start)
      if (rangeEnd <= to) behind += 1
    }
    // At most 511 bytes are within the reach of a frame.
    if (behind > 0) ranges.splice(0, behind)
  }
  const scrub = function* (packet: Buffer, position: number, blank: Blank): Generator<void> {
    let at = 0
    while (at < packet.length) {
      const frame = frameAt(packet, at)
      if (!frame) break
      const begins = Math.max(total - frame.backwards, 0)
      clear(ended, begins, blank)
      const bytes = frame.bytes - frame.dataAt
      ranges.push({ from: total, position: position + at + frame.dataAt, bytes })
      total += bytes
      ended = Math.max(ended, begins + Math.ceil(frame.soundBits / 8))
      at += frame.bytes
      yield
    }
    if (at === 0) throw cannotFollow('a frame of MP3')
    // Tags, for example.
    if (at < packet.length) blank(position + at, packet.length - at)
  }
  return Object.assign(scrub, { end: (blank: Blank) => clear(ended, total, blank) })
}

function frameAt(packet: Buffer, at: number): Frame | undefined {
  if (at + 4 > packet.length) return undefined
  const header = packet.readUInt32BE(at)
  const version = (header >>> 19) & 3
  const bitrateIndex = (header >>> 12) & 15
  const rate = RATES[(header >>> 10) & 3]
  const isLayer3 = header >>> 21 === 0x7ff && version !== 1 && ((header >>> 17) & 3) === 1
  if (!isLayer3 || rate === undefined) return undefined
  const isFirst = version === 3
  const kbits = BITRATES[isFirst ? 0 : 1][bitrateIndex]
  // Free format does not declare its length.
  if (!kbits) return undefined
  const hz = rate / (isFirst ? 1 : version === 2 ? 2 : 4)
  const bytes = Math.floor(((isFirst ? 144_000 : 72_000) * kbits) / hz) + ((header >>> 9) & 1)
  const isMono = ((header >>> 6) & 3) === 3
  const sideAt = at + 4 + ((header >>> 16) & 1 ? 0 : 2)
  const sideBytes = isFirst ? (isMono ? 17 : 32) : isMono ? 9 : 17
  if (at + bytes > packet.length || sideAt + sideBytes > at + bytes) return undefined
  const side = packet.subarray(sideAt, sideAt + sideBytes)
  return {
    bytes,
    dataAt: sideAt + sideBytes - at,
    ...(isFirst ? sideOfFirst(side, isMono ? 1 : 2) : sideOfSecond(side, isMono ? 1 : 2)),
  }
}

/** Version 1: two granules. */
function sideOfFirst(side: Buffer, channels: 1 | 2) {
  const before = 9 + (channels === 1 ? 5 : 3) + 4 * channels
  return { backwards: new BitReader(side).read(9), soundBits: sumOfParts(side, before, 59, 2 * channels) }
}

/** Versions 2 and 2.5: one granule. */
function sideOfSecond(side: Buffer, channels: 1 | 2) {
  return { backwards: new BitReader(side).read(8), soundBits: sumOfParts(side, 8 + channels, 63, channels) }
}

function sumOfParts(side: Buffer, at: number, every: number, count: number): number {
  const bits = new BitReader(side)
  let sum = 0
  for (let n = 0; n < count; n++) {
    bits.at = at + n * every
    sum += bits.read(12)
  }
  return sum
}
