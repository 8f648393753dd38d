import type { FileView } from '../file-view.ts'

/** RFC 3533 § 6: the longest page. */
const PAGE_BYTES = 27 + 255 + 255 * 255

/** The last page of an Ogg file says how long it is (RFC 3533 § 6). */
export async function shortfallOfOgg(file: FileView): Promise<string | undefined> {
  const start = Math.max(0, file.size - 2 * PAGE_BYTES)
  const tail = await file.take(start, file.size - start)
  const last = tail.lastIndexOf('OggS')
  if (last < 0) return undefined
  const segments = tail[last + 26]
  const lengths = tail.subarray(last + 27, last + 27 + (segments ?? 0))
  const end = last + 27 + (segments ?? 0) + lengths.reduce((sum, length) => sum + length, 0)
  const isCut = segments === undefined || lengths.length < segments || end > tail.length
  return isCut ? 'its last page is cut off' : undefined
}
