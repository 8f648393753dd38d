import { type CodecScrub, cannotFollow, MAX_PICTURE_BYTES } from './scrub.ts'
import { scrubSei } from './sei.ts'

// H.264 (ISO 14496-10) and H.265 (ISO 23008-2) are sequences of NAL units. All but those listed below become filler
// data: user data of any kind, and units of undefined types.

type NalKinds = {
  headerBytes: number
  typeOf: (header: number) => number
  /** Coded picture and its parameters. */
  kept: ReadonlySet<number>
  /** Units of at most this many bytes, header included: delimiters. */
  short: ReadonlySet<number>
  sei: ReadonlySet<number>
  filler: number
  /** Bytes before the units of a configuration, and where in them the size of the length fields is. */
  record: { sizeAt: number; units: (record: Buffer) => Generator<Buffer> }
}

const SHORT_BYTES = 3

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index)

const H264: NalKinds = {
  headerBytes: 1,
  typeOf: (header) => header & 0x1f,
  // Slices, parameter sets, their extensions, slices of further layers and views.
  kept: new Set([...range(1, 5), 7, 8, 13, 14, 15, 19, 20]),
  short: new Set([9, 10, 11]),
  sei: new Set([6]),
  filler: 12,
  record: { sizeAt: 4, units: avcUnits },
}

const hevcKinds = (hasDolbyVision: boolean): NalKinds => ({
  headerBytes: 2,
  typeOf: (header) => (header >> 1) & 0x3f,
  // Slices, parameter sets; the last two are Dolby Vision's.
  kept: new Set([...range(0, 9), ...range(16, 21), 32, 33, 34, ...(hasDolbyVision ? [62, 63] : [])]),
  short: new Set([35, 36, 37]),
  sei: new Set([39, 40]),
  filler: 38 << 1,
  record: { sizeAt: 21, units: hevcUnits },
})

export const h264 = (): CodecScrub => scrubOf(H264)
export const hevc = ({ hasDolbyVision }: { hasDolbyVision: boolean }): CodecScrub =>
  scrubOf(hevcKinds(hasDolbyVision))

function scrubOf(kinds: NalKinds): CodecScrub {
  return {
    maxPacketBytes: MAX_PICTURE_BYTES,
    config: (config) => {
      const units = isRecord(config, kinds) ? kinds.record.units(config) : byStartCodes(config)
      for (const unit of units) scrubUnit(unit, kinds)
    },
    packets: (config) => {
      const size = isRecord(config, kinds) ? ((config[kinds.record.sizeAt] ?? 0) & 3) + 1 : undefined
      return function* (packet) {
        const units = size === undefined ? byStartCodes(packet) : byLengths(packet, size)
        for (const unit of units) {
          scrubUnit(unit, kinds)
          yield
        }
      }
    },
  }
}

/** Otherwise it has start codes (Annex B), as in AVI. */
const isRecord = (config: Buffer, { record }: NalKinds): boolean =>
  config[0] === 1 && config.length > record.sizeAt + 1

function scrubUnit(unit: Buffer, kinds: NalKinds): void {
  const { headerBytes, kept, short, sei, filler } = kinds
  if (unit.length < headerBytes) return void unit.fill(0)
  const type = kinds.typeOf(unit[0] ?? 0)
  if (kept.has(type) || (short.has(type) && unit.length <= SHORT_BYTES)) return
  if (sei.has(type)) {
    scrubSei(unit, headerBytes)
    return
  }
  unit[0] = filler
  unit.fill(0xff, headerBytes)
  if (unit.length > headerBytes) unit[unit.length - 1] = 0x80
}

function* byLengths(packet: Buffer, size: number): Generator<Buffer> {
  let at = 0
  while (at + size <= packet.length) {
    const end = at + size + packet.readUIntBE(at, size)
    if (end > packet.length) throw cannotFollow('a NAL unit')
    yield packet.subarray(at + size, end)
    at = end
  }
  packet.fill(0, at)
}

function* byStartCodes(packet: Buffer): Generator<Buffer> {
  let at = packet.indexOf('000001', 0, 'hex')
  if (at < 0 && packet.length > 0) throw cannotFollow('a NAL unit')
  packet.fill(0, 0, Math.max(at, 0))
  while (at >= 0) {
    const next = packet.indexOf('000001', at + 3, 'hex')
    let end = next < 0 ? packet.length : next
    while (end > at + 3 && packet[end - 1] === 0) end -= 1
    yield packet.subarray(at + 3, end)
    at = next
  }
}

/** Of an `AVCDecoderConfigurationRecord` (ISO 14496-15 § 5.3.3). */
function* avcUnits(record: Buffer): Generator<Buffer> {
  let at = 5
  const list = function* (count: number) {
    for (let n = 0; n < count; n++) yield unitAt()
  }
  const unitAt = () => {
    const unit = counted(record, at)
    at += 2 + unit.length
    return unit
  }
  const count = () => record[at++] ?? 0
  yield* list(count() & 0x1f)
  yield* list(count())
  // High profiles: chroma format, bit depths, and more units.
  if (record.length >= at + 4 && [100, 110, 122, 144, 244].includes(record[1] ?? 0)) {
    at += 3
    yield* list(count())
  }
  record.fill(0, at)
}

/** Of an `HEVCDecoderConfigurationRecord` (ISO 14496-15 § 8.3.3). */
function* hevcUnits(record: Buffer): Generator<Buffer> {
  let at = 23
  for (let arrays = record[22] ?? 0; arrays > 0; arrays--) {
    if (at + 3 > record.length) throw cannotFollow('a configuration')
    const count = record.readUInt16BE(at + 1)
    at += 3
    for (let n = 0; n < count; n++) {
      const unit = counted(record, at)
      yield unit
      at += 2 + unit.length
    }
  }
  record.fill(0, at)
}

function counted(record: Buffer, at: number): Buffer {
  if (at + 2 > record.length) throw cannotFollow('a configuration')
  const end = at + 2 + record.readUInt16BE(at)
  if (end > record.length) throw cannotFollow('a configuration')
  return record.subarray(at + 2, end)
}
