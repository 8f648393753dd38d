import type { FileView, Stray } from '../file-view.ts'
import { endOfLeadingTags } from '../leading-tags.ts'

/** How much of either end of the frames is searched: code in between is not told from sound. */
const EDGE_BYTES = 64 * 1024
const MAX_TAGS = 16
const ID3V1_BYTES = 128
const APE_FOOTER = 32
const LYRICS_FOOTER = 15

/** MP3 and ADTS: both ends of what is between the tags, which are declared text. */
export async function* strayInFrames(file: FileView): AsyncIterable<Stray> {
  yield* edges(await endOfLeadingTags(file), await startOfTrailingTags(file))
}

/** Padding and application data of FLAC (RFC 9639 § 8), and both ends of its frames. */
export async function* strayInFlac(file: FileView): AsyncIterable<Stray> {
  let at = (await endOfLeadingTags(file)) + 4
  for (let isLast = false; !isLast && at < file.size; ) {
    const header = await file.take(at, 4)
    if (header.length < 4) break
    const type = (header[0] ?? 0) & 0x7f
    const next = at + 4 + header.readUIntBE(1, 3)
    if (type === 1 || type === 2 || type > 6) yield { start: at + 4, end: Math.min(next, file.size) }
    isLast = ((header[0] ?? 0) & 0x80) !== 0
    at = next
  }
  yield* edges(at, await startOfTrailingTags(file))
}

/** What follows the last page of Ogg (RFC 3533 § 6), searched within the longest page. */
export async function* strayInOgg(file: FileView): AsyncIterable<Stray> {
  const start = Math.max(0, file.size - EDGE_BYTES - 1024)
  const tail = await file.take(start, file.size - start)
  const last = tail.lastIndexOf('OggS')
  if (last < 0) return yield { start, end: file.size }
  const segments = tail[last + 26] ?? 0
  const lengths = tail.subarray(last + 27, last + 27 + segments)
  const end = start + last + 27 + segments + lengths.reduce((sum, length) => sum + length, 0)
  if (end < file.size) yield { start: end, end: file.size }
}

function* edges(start: number, end: number): Iterable<Stray> {
  if (start >= end) return
  if (end - start <= 2 * EDGE_BYTES) return yield { start, end }
  yield { start, end: start + EDGE_BYTES }
  yield { start: end - EDGE_BYTES, end }
}

/** ID3v1, APEv2 and Lyrics3v2, in any order. */
async function startOfTrailingTags(file: FileView): Promise<number> {
  let end = file.size
  for (let tags = 0; tags < MAX_TAGS; tags++) {
    const start = Math.max(0, end - ID3V1_BYTES)
    const last = (await file.take(start, end - start)).subarray(0, end - start)
    const tagBytes = trailingTagBytes(last)
    if (tagBytes === 0 || tagBytes > end) break
    end -= tagBytes
  }
  return end
}

function trailingTagBytes(last: Buffer): number {
  if (last.length === ID3V1_BYTES && last.toString('latin1', 0, 3) === 'TAG') return ID3V1_BYTES
  const ape = last.subarray(-APE_FOOTER)
  if (ape.length === APE_FOOTER && ape.toString('latin1', 0, 8) === 'APETAGEX') {
    const hasHeader = (ape.readUInt32LE(20) & 0x80000000) !== 0
    return ape.readUInt32LE(12) + (hasHeader ? APE_FOOTER : 0)
  }
  const [, lyrics] = /^(\d{6})LYRICS200$/.exec(last.subarray(-LYRICS_FOOTER).toString('latin1')) ?? []
  return lyrics === undefined ? 0 : Number(lyrics) + LYRICS_FOOTER
}
