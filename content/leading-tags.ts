import type { FileView } from './file-view.ts'

const MAX_TAGS = 16
const ID3V2_HEADER = 10

/** Where the tags before a sound end: ID3v2 § 3.1, with sizes of seven bits a byte. */
export async function endOfLeadingTags(file: FileView): Promise<number> {
  let at = 0
  for (let tags = 0; tags < MAX_TAGS; tags++) {
    const header = await file.take(at, ID3V2_HEADER)
    if (header.length < ID3V2_HEADER || header.toString('latin1', 0, 3) !== 'ID3') break
    const [a = 0, b = 0, c = 0, d = 0] = header.subarray(6, 10)
    const footer = ((header[5] ?? 0) & 0x10) === 0 ? 0 : ID3V2_HEADER
    at += ID3V2_HEADER + ((a << 21) | (b << 14) | (c << 7) | d) + footer
  }
  return Math.min(at, file.size)
}
