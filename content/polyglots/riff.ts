import type { FileView, Stray } from '../file-view.ts'

/** Chunks of WAV, AVI and WebP, except for padding (`JUNK`, `PAD `, `FLLR`). */
const KNOWN = new Set([
  ...['fmt ', 'data', 'fact', 'cue ', 'plst', 'smpl', 'inst', 'LIST', 'bext', 'iXML', 'axml', 'chna', 'cart'],
  ...['id3 ', 'ID3 ', '_PMX', 'PEAK', 'slnt', 'DISP', 'acid', 'levl', 'umid', 'idx1', 'ds64'],
  ...['VP8 ', 'VP8L', 'VP8X', 'ANIM', 'ANMF', 'ALPH', 'ICCP', 'EXIF', 'XMP '],
])
const HEADER_BYTES = 8
/** Sizes in unfinished files. */
const UNFINISHED = new Set([0, 0xffffffff])

/** Padding, chunks of unknown kinds, and what follows the end by the header. */
export async function* strayInRiff(file: FileView): AsyncIterable<Stray> {
  let at = 0
  // Large AVI files consist of several.
  for (;;) {
    const header = await file.take(at, 12)
    if (header.length < 12 || header.toString('latin1', 0, 4) !== 'RIFF') break
    const bytes = header.readUInt32LE(4)
    const end = UNFINISHED.has(bytes) ? file.size : Math.min(at + HEADER_BYTES + bytes, file.size)
    yield* strayChunks(file, at + 12, end)
    at = end + (bytes % 2)
    if (at >= file.size) return
  }
  yield { start: at, end: file.size }
}

async function* strayChunks(file: FileView, start: number, end: number): AsyncIterable<Stray> {
  let at = start
  while (at < end) {
    const header = await file.take(at, HEADER_BYTES)
    if (end - at < HEADER_BYTES || header.length < HEADER_BYTES) return yield { start: at, end }
    const bytes = header.readUInt32LE(4)
    const type = header.toString('latin1', 0, 4)
    const isOpen = type === 'data' && UNFINISHED.has(bytes)
    const next = isOpen ? end : Math.min(at + HEADER_BYTES + bytes + (bytes % 2), end)
    if (!KNOWN.has(type)) yield { start: at, end: next }
    at = next
  }
}
