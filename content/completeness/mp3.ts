import type { FileView } from '../file-view.ts'
import { endOfLeadingTags } from '../leading-tags.ts'
import { lacks, SPARE_BYTES } from './lacks.ts'

/** The first frame is near the tags; padding may precede it. */
const SEARCHED_BYTES = 4096
const MPEG_1 = 3
const MONO = 3
const HAS_BYTES = 2

/** The first frame of an MP3 may hold the number of its bytes: a Xing, Info or VBRI header. */
export async function shortfallOfMp3(file: FileView): Promise<string | undefined> {
  const start = await endOfLeadingTags(file)
  const bytes = (await file.take(start, SEARCHED_BYTES)).subarray(0, SEARCHED_BYTES)
  const frame = bytes.findIndex((byte, n) => byte === 0xff && ((bytes[n + 1] ?? 0) & 0xe0) === 0xe0)
  if (frame < 0 || frame + 64 > bytes.length) return undefined
  const promised = promisedBytes(bytes.subarray(frame))
  // Old encoders count the whole file, with the tags before it.
  const isOfAll = promised !== undefined && Math.abs(promised - file.size) <= SPARE_BYTES
  return promised === undefined || isOfAll ? undefined : lacks(start + frame + promised, file.size)
}

function promisedBytes(frame: Buffer): number | undefined {
  const version = ((frame[1] ?? 0) >> 3) & 3
  const isMono = (frame[3] ?? 0) >> 6 === MONO
  // The header follows the side information, whose length depends on version and channels.
  const side = version === MPEG_1 ? (isMono ? 17 : 32) : isMono ? 9 : 17
  const xing = 4 + side
  const name = frame.toString('latin1', xing, xing + 4)
  if (name === 'Xing' || name === 'Info') {
    const flags = frame.readUInt32BE(xing + 4)
    const at = xing + 8 + (flags & 1 ? 4 : 0)
    return (flags & HAS_BYTES) !== 0 && at + 4 <= frame.length ? frame.readUInt32BE(at) : undefined
  }
  const isVbri = frame.toString('latin1', 36, 40) === 'VBRI'
  return isVbri ? frame.readUInt32BE(46) : undefined
}
