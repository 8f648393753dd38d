import type { FileView, Stray } from '../file-view.ts'

/** Boxes that are allowed on the top level (ISO 14496-12, 23008-12, QuickTime), except for padding. */
const KNOWN = new Set(
  'ftyp pdin moov moof mfra mdat meta meco styp sidx ssix prft uuid emsg pnot PICT idat imda udta'.split(' '),
)
const HEADER_BYTES = 8
const LARGE_HEADER_BYTES = 16

/** Padding (`free`, `skip`, `wide`), boxes of unknown kinds, and what follows the last whole box. */
export async function* strayInIsobmff(file: FileView): AsyncIterable<Stray> {
  let at = 0
  while (at < file.size) {
    const header = await file.take(at, LARGE_HEADER_BYTES)
    if (header.length < HEADER_BYTES) return yield { start: at, end: file.size }
    const type = header.toString('latin1', 4, 8)
    const bytes = bytesOf(header, file.size - at)
    const isKnown = KNOWN.has(type)
    if (bytes === undefined) return yield { start: at, end: file.size }
    // Only the box of the media data may be cut short; what is left of any other box is stray.
    if (bytes > file.size - at && type !== 'mdat') return yield { start: at, end: file.size }
    const end = Math.min(at + bytes, file.size)
    if (!isKnown) yield { start: at, end }
    at = end
  }
}

/** The size of a box by its header; undefined when it is invalid. */
function bytesOf(header: Buffer, rest: number): number | undefined {
  const short = header.readUInt32BE(0)
  // To the end of the file.
  if (short === 0) return rest
  if (short !== 1) return short < HEADER_BYTES ? undefined : short
  if (header.length < LARGE_HEADER_BYTES) return undefined
  const large = Number(header.readBigUInt64BE(8))
  return large < LARGE_HEADER_BYTES ? undefined : large
}
