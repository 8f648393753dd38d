import { atMost, type CodecScrub, cannotFollow, type Scrub } from './scrub.ts'

// A frame of AAC is a row of elements, each begun by three bits (ISO 14496-3 § 4.4.2.1). What an encoder says of itself and what others
// add stands in front of the first channel.

const [DATA, FILL] = [4, 6]
/** What fill elements have for the sound: dynamic range and higher frequencies (SBR). */
const KEPT_FILL = new Set([0b1011, 0b1101, 0b1110])
/** No configuration without a list of channels is longer; with it comes a comment. */
const MOST_CONFIG_BYTES = 16

export const aac = (): CodecScrub => ({
  config: atMost(MOST_CONFIG_BYTES),
  // Without a configuration, each frame has a header (ADTS).
  packets: (config) => (packet) => scrubFrame(config.length > 0 ? packet : withoutHeader(packet)),
})

function withoutHeader(packet: Buffer): Buffer {
  if (packet.length < 7 || packet[0] !== 0xff || ((packet[1] ?? 0) & 0xf6) !== 0xf0)
    throw cannotFollow('a frame of AAC')
  const frameBytes = (packet.readUInt32BE(3) >> 13) & 0x1fff
  packet.fill(0, frameBytes)
  return packet.subarray((packet[1] ?? 0) & 1 ? 7 : 9, frameBytes)
}

const scrubFrame: Scrub = (frame) => {
  let at = 0
  const read = (bits: number): number => {
    let value = 0
    for (let n = 0; n < bits; n++, at++) value = value * 2 + (((frame[at >> 3] ?? 0) >> (7 - (at & 7))) & 1)
    return value
  }
  const clear = (bytes: number): void => {
    const end = at + 8 * bytes
    if (end > 8 * frame.length) throw cannotFollow('a frame of AAC')
    for (; at < end; at++) frame[at >> 3] = (frame[at >> 3] ?? 0) & ~(0x80 >> (at & 7))
  }
  while (at + 3 <= 8 * frame.length) {
    const element = read(3)
    if (element === DATA) {
      read(4)
      const isAligned = read(1) === 1
      const short = read(8)
      const bytes = short === 0xff ? short + read(8) : short
      if (isAligned) at = Math.ceil(at / 8) * 8
      clear(bytes)
    } else if (element === FILL) {
      const short = read(4)
      const bytes = short === 15 ? 14 + read(8) : short
      if (bytes === 0) continue
      const kind = read(4)
      at -= 4
      if (KEPT_FILL.has(kind)) return
      clear(bytes)
    } else return
  }
}
