import { cannotFollow } from './scrub.ts'

/**
 * Messages that the picture needs (ISO 23002-7, ISO 14496-10 annex D, ISO 23008-2 annex D): buffering, timing, recovery
 * point, 3D, orientation, hashes, light and colours (mastering display, content light, transfer, ambient light), 360°.
 */
const KEPT = new Set([0, 1, 6, 45, 47, 128, 129, 130, 132, 137, 144, 147, 148, 150, 151, 154, 155, 156])
const FILLER_PAYLOAD = 3
const STOP_BIT = 0x80
/** Two bytes of type and size; a size of 255 or more takes another byte. */
const MAX_SHORT_BYTES = 2 + 254

/** The largest that cameras write have some KiB. */
const MAX_SEI_BYTES = 1024 * 1024

/**
 * Keeps the messages of an SEI unit that the picture needs; the others become one message of 255s. Linear in the size
 * of the unit.
 */
export function scrubSei(unit: Buffer, headerBytes: number): void {
  if (unit.length > MAX_SEI_BYTES) throw cannotFollow('an SEI message')
  const content = withoutEscapes(unit.subarray(headerBytes))
  let [keptBytes, hasOthers] = [0, false]
  for (const { type, start, end } of messagesIn(content)) {
    if (KEPT.has(type)) {
      // In place: kept bytes only move forward, over what was read already.
      content.copyWithin(keptBytes, start, end)
      keptBytes += end - start
    } else hasOthers = true
  }
  if (!hasOthers) return
  const rest = Buffer.concat([content.subarray(0, keptBytes), Buffer.of(STOP_BIT)])
  const room = unit.length - headerBytes
  // Before the rest it takes as many escapes as alone, and one more where the filler ends with a zero.
  const left = room - withEscapes(rest).length
  for (const bytes of [left, left - 1]) {
    if (bytes < 2) break
    const written = withEscapes(Buffer.concat([filler(bytes), rest]))
    if (written.length === room) return void written.copy(unit, headerBytes)
  }
  throw cannotFollow('an SEI message')
}

type Message = { type: number; start: number; end: number }

function* messagesIn(content: Buffer): Generator<Message> {
  let end = content.length
  while (end > 0 && content[end - 1] === 0) end -= 1
  // What follows is the stop bit, in a byte of its own.
  end -= 1
  const stop = content[end]
  let at = 0
  const number = () => {
    let sum = 0
    while (content[at] === 0xff) {
      sum += 0xff
      at += 1
    }
    return sum + (content[at++] ?? 0)
  }
  while (at < end) {
    const start = at
    const type = number()
    const size = number()
    // No reader uses a message that is cut off.
    const isWhole = at + size <= end
    at = Math.min(at + size, end)
    yield { type: isWhole ? type : -1, start, end: at }
  }
  // There may be more bytes after them than there should be.
  if (end >= 0 && stop !== STOP_BIT) yield { type: -1, start: end, end: content.length }
}

/** Messages of `bytes` bytes, two or more, without content. */
function filler(bytes: number): Buffer {
  // No single message has exactly one byte more than the longest short one.
  if (bytes === MAX_SHORT_BYTES + 1) return Buffer.concat([filler(2), filler(bytes - 2)])
  const isShort = bytes <= MAX_SHORT_BYTES
  const sizeBytes = isShort ? 1 : Math.ceil((bytes - 2) / 256)
  const size = bytes - 1 - sizeBytes
  const sizes = Buffer.alloc(sizeBytes, 0xff)
  const last = size - 0xff * (sizeBytes - 1)
  if (last < 0 || last > 0xfe) return Buffer.concat([filler(2), filler(bytes - 2)])
  sizes[sizeBytes - 1] = last
  return Buffer.concat([Buffer.of(FILLER_PAYLOAD), sizes, Buffer.alloc(size, 0xff)])
}

/** Without emulation prevention bytes. */
function withoutEscapes(bytes: Buffer): Buffer {
  const out = Buffer.alloc(bytes.length)
  let [length, zeros] = [0, 0]
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0
    if (zeros >= 2 && byte === 3) {
      zeros = 0
      continue
    }
    out[length++] = byte
    zeros = byte === 0 ? zeros + 1 : 0
  }
  return out.subarray(0, length)
}

function withEscapes(bytes: Buffer): Buffer {
  const out = Buffer.alloc(2 * bytes.length)
  let [length, zeros] = [0, 0]
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0
    if (zeros >= 2 && byte <= 3) {
      out[length++] = 3
      zeros = 0
    }
    out[length++] = byte
    zeros = byte === 0 ? zeros + 1 : 0
  }
  return out.subarray(0, length)
}
