import { BitReader } from './bit-reader.ts'
import { atMost, cannotFollow } from './scrub.ts'

// An `AudioSpecificConfig` (ISO 14496-3 § 1.6.2.1) says what kind of AAC the frames are.

/**
 * Object types whose frames are sequences of elements as `aac-elements.ts` reads them: Main, LC and LTP. Frames of
 * others, such as ELD and LD, have no elements, or different ones.
 */
export const ELEMENT_TYPES: ReadonlySet<number> = new Set([1, 2, 4])
/** Spectral band replication and parametric stereo, on top of one of those. */
const EXTENSIONS = new Set([5, 29])
/** No configuration without a list of channels is longer. */
const MAX_CONFIG_BYTES = 16

/** Blanks the comment of a configuration. Fails with `UnreadableInput` where the type is not known. */
export function scrubAacConfig(config: Buffer): void {
  // Each frame has an ADTS header instead.
  if (config.length === 0) return
  const bits = new BitReader(config)
  const frequency = () => {
    if (bits.read(4) === 15) bits.read(24)
  }
  let type = objectType(bits)
  frequency()
  const channels = bits.read(4)
  if (EXTENSIONS.has(type)) {
    frequency()
    type = objectType(bits)
  }
  if (!ELEMENT_TYPES.has(type)) throw cannotFollow(`AAC of the object type ${type}`)
  if (channels > 0) {
    atMost(MAX_CONFIG_BYTES)(config)
    return
  }
  // Frame length; core coder and its delay; extension.
  bits.read(1)
  if (bits.read(1) === 1) bits.read(14)
  bits.read(1)
  scrubChannels(bits)
  if (bits.left < 0 || bits.left > 8 * MAX_CONFIG_BYTES) throw cannotFollow('a configuration')
}

function objectType(bits: BitReader): number {
  const type = bits.read(5)
  return type === 31 ? 32 + bits.read(6) : type
}

/** Blanks the comment of a `program_config_element` (§ 4.4.1.1), which lists the channels. */
export function scrubChannels(bits: BitReader): void {
  // Number, profile, sampling frequency.
  bits.read(4 + 2 + 4)
  const [front, side, back, low] = [bits.read(4), bits.read(4), bits.read(4), bits.read(2)]
  const [data, coupled] = [bits.read(3), bits.read(4)]
  // Mono mixdown, stereo mixdown, matrix mixdown.
  for (const length of [4, 4, 3]) if (bits.read(1) === 1) bits.read(length)
  for (let n = front + side + back + coupled; n > 0; n--) bits.read(5)
  for (let n = low + data; n > 0; n--) bits.read(4)
  bits.align()
  const bytes = bits.read(8)
  if (8 * bytes > bits.left) throw cannotFollow('a list of channels')
  bits.clear(8 * bytes)
}
