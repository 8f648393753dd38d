import { atMost, type CodecScrub, cannotFollow, MAX_PICTURE_BYTES } from './scrub.ts'

// Each frame of Motion JPEG is one JPEG, or two of an interlaced picture (ISO 10918-1 annex B). Application segments
// and comments are blanked, except for the order of fields and the colour space, which decoders need.

const [SOI, EOI, SOS, COM] = [0xd8, 0xd9, 0xda, 0xfe]
const APP0 = 0xe0
const APP14 = 0xee
const APP15 = 0xef
const COLOURS = Buffer.from('CS=ITU601\0')

export const mjpeg = (): CodecScrub => ({
  config: atMost(0),
  packets: () => scrubFrame,
  maxPacketBytes: MAX_PICTURE_BYTES,
})

function* scrubFrame(frame: Buffer): Generator<void> {
  let at = 0
  while (at < frame.length) {
    const isImage = frame[at] === 0xff && frame[at + 1] === SOI
    if (!isImage && at === 0) throw cannotFollow('a JPEG')
    if (!isImage) return void frame.fill(0, at)
    at = yield* scrubImage(frame, at + 2)
  }
}

/** Returns where the image that begins before `at` ends. */
function* scrubImage(frame: Buffer, at: number): Generator<void, number> {
  while (at + 2 <= frame.length) {
    yield
    const marker = frame[at + 1] ?? 0
    if (frame[at] !== 0xff) throw cannotFollow('a JPEG')
    if (marker === 0xff) {
      at += 1
      continue
    }
    if (marker === EOI) return at + 2
    if (at + 4 > frame.length) break
    const end = at + 2 + frame.readUInt16BE(at + 2)
    if (end > frame.length || end < at + 4) throw cannotFollow('a JPEG')
    const content = frame.subarray(at + 4, end)
    if (marker === COM || (marker >= APP0 && marker <= APP15)) content.fill(0, keptOf(marker, content))
    at = marker === SOS ? yield* behindScan(frame, end) : end
  }
  return frame.length
}

/** How many of the first bytes of a segment the picture needs. */
function keptOf(marker: number, content: Buffer): number {
  const begins = (text: string) => content.toString('latin1', 0, text.length) === text
  // Identifier, version, units and density, without the thumbnail.
  if (marker === APP0 && begins('JFIF\0')) return Math.min(12, content.length)
  if (marker === APP0 && begins('AVI1')) return Math.min(12, content.length)
  if (marker === APP14 && begins('Adobe')) return Math.min(12, content.length)
  return marker === COM && content.equals(COLOURS) ? content.length : 0
}

/** The next marker that is not a restart marker. */
function* behindScan(frame: Buffer, from: number): Generator<void, number> {
  for (let at = frame.indexOf(0xff, from); at >= 0; at = frame.indexOf(0xff, at + 1)) {
    const next = frame[at + 1] ?? 0
    if (next !== 0 && next !== 0xff && !(next >= 0xd0 && next <= 0xd7)) return at
    yield
  }
  return frame.length
}
