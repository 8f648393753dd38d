import { ELEMENT_TYPES, scrubAacConfig, scrubChannels } from './aac-config.ts'
import { BitReader } from './bit-reader.ts'
import { type CodecScrub, cannotFollow, MAX_SOUND_BYTES } from './scrub.ts'

// A frame of AAC is a sequence of elements, each of which begins with three bits (ISO 14496-3 § 4.4.2.1). What an
// encoder and others add precedes the first channel.

const [DATA, CHANNELS, FILL, END] = [4, 5, 6, 7]
/** Fill elements that the sound needs: dynamic range and higher frequencies (SBR). */
const KEPT_FILL = new Set([0b1011, 0b1101, 0b1110])

export const aac = (): CodecScrub => ({
  config: scrubAacConfig,
  maxPacketBytes: MAX_SOUND_BYTES,
  packets: (config) => (packet) => scrubFrame(config.length > 0 ? packet : withoutHeader(packet)),
})

/** ADTS (§ 1.A.2.2): one block of data, of a profile with elements. */
function withoutHeader(packet: Buffer): Buffer {
  if (packet.length < 7 || packet[0] !== 0xff || ((packet[1] ?? 0) & 0xf6) !== 0xf0)
    throw cannotFollow('a frame of AAC')
  const type = ((packet[2] ?? 0) >> 6) + 1
  if (!ELEMENT_TYPES.has(type)) throw cannotFollow(`AAC of the object type ${type}`)
  if (((packet[6] ?? 0) & 3) !== 0) throw cannotFollow('a frame of AAC of several blocks')
  const frameBytes = (packet.readUInt32BE(3) >> 13) & 0x1fff
  packet.fill(0, frameBytes)
  return packet.subarray((packet[1] ?? 0) & 1 ? 7 : 9, frameBytes)
}

function* scrubFrame(frame: Buffer): Generator<void> {
  const bits = new BitReader(frame)
  const clear = (bytes: number): void => {
    if (8 * bytes > bits.left) throw cannotFollow('a frame of AAC')
    bits.clear(8 * bytes)
  }
  while (bits.left >= 3) {
    yield
    switch (bits.read(3)) {
      case DATA: {
        bits.read(4)
        const isAligned = bits.read(1) === 1
        const short = bits.read(8)
        const bytes = short === 0xff ? short + bits.read(8) : short
        if (isAligned) bits.align()
        clear(bytes)
        break
      }
      case CHANNELS:
        scrubChannels(bits)
        break
      case FILL: {
        const short = bits.read(4)
        const bytes = short === 15 ? 14 + bits.read(8) : short
        if (bytes === 0) break
        const kind = bits.read(4)
        bits.at -= 4
        if (KEPT_FILL.has(kind)) return
        clear(bytes)
        break
      }
      case END:
        bits.clear(bits.left)
        return
      default:
        return
    }
  }
}
