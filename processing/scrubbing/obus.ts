import { atOnce, type CodecScrub, cannotFollow, MAX_PICTURE_BYTES } from './scrub.ts'

// AV1 is a sequence of open bitstream units (OBU; AV1 Bitstream § 5.3). All but those listed below become padding.

const CODED = new Set([1, 2, 3, 4, 6, 7])
const METADATA = 5
const PADDING = 15
/** Content light, mastering display, scalability (AV1 Bitstream § 6.7.1). Not ITU-T T.35 and time codes. */
const KEPT_METADATA = new Set([1, 2, 3])
/** Length of the fixed part of an `AV1CodecConfigurationRecord`, before its units. */
const RECORD_BYTES = 4

export const av1 = (): CodecScrub => ({
  config: (record) => atOnce(scrubUnits(record.subarray(RECORD_BYTES))),
  maxPacketBytes: MAX_PICTURE_BYTES,
  packets: () => scrubUnits,
})

function* scrubUnits(bytes: Buffer): Generator<void> {
  let at = 0
  while (at < bytes.length) {
    const header = bytes[at] ?? 0
    const start = at + (header & 4 ? 2 : 1)
    const { value, length } = header & 2 ? leb128(bytes, start) : { value: bytes.length - start, length: 0 }
    const content = bytes.subarray(start + length, start + length + value)
    if (content.length < value) throw cannotFollow('a unit of AV1')
    scrubUnit(bytes, at, content)
    at = start + length + value
    yield
  }
}

function scrubUnit(bytes: Buffer, at: number, content: Buffer): void {
  const header = bytes[at] ?? 0
  const type = (header >> 3) & 15
  if (CODED.has(type)) return
  if (type === METADATA && KEPT_METADATA.has(leb128(content, 0).value)) return
  bytes[at] = (header & 0x87) | (PADDING << 3)
  content.fill(0)
  // The trailing bit.
  if (content.length > 0) content[content.length - 1] = 0x80
}

function leb128(bytes: Buffer, at: number): { value: number; length: number } {
  let value = 0
  for (let length = 1; length <= 8; length++) {
    const byte = bytes[at + length - 1]
    if (byte === undefined) break
    value += (byte & 0x7f) * 2 ** (7 * (length - 1))
    if ((byte & 0x80) === 0) return { value, length }
  }
  throw cannotFollow('a unit of AV1')
}
