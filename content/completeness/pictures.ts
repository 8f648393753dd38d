import type { FileView } from '../file-view.ts'
import { endOfGif, endOfJpeg } from '../polyglots/pictures.ts'
import { lacks } from './lacks.ts'
import { zerosBefore } from './zero-tail.ts'

/** More than coded data ends with by chance. */
const MIN_ZERO_BYTES = 64

/**
 * A JPEG without its end marker is complete where its data is, which the decoder tells; but not where zeros are in the
 * place of both, which decode to something.
 */
export async function shortfallOfJpeg(file: FileView): Promise<string | undefined> {
  const zeros = await zerosBefore(file, file.size, MIN_ZERO_BYTES)
  if (zeros < MIN_ZERO_BYTES || (await endOfJpeg(file)).isMarked) return undefined
  return 'zeros are where its end should be'
}

const BMP_HEADER_BYTES = 54
const CORE_HEADER_BYTES = 12
const UNCOMPRESSED = [0, 3, 6]

/** The size of a BMP follows from its header; that of a compressed one is in it. */
export async function shortfallOfBmp(file: FileView): Promise<string | undefined> {
  const header = await file.take(0, BMP_HEADER_BYTES)
  if (header.length < BMP_HEADER_BYTES) return undefined
  // The core header has 16 bits for a side.
  const isCore = header.readUInt32LE(14) === CORE_HEADER_BYTES
  // Some programs write no size of the file.
  if (!isCore && !UNCOMPRESSED.includes(header.readUInt32LE(30)))
    return header.readUInt32LE(2) === 0 ? undefined : lacks(header.readUInt32LE(2), file.size)
  const [width, height, bits] = isCore
    ? [header.readUInt16LE(18), header.readUInt16LE(20), header.readUInt16LE(24)]
    : [header.readInt32LE(18), Math.abs(header.readInt32LE(22)), header.readUInt16LE(28)]
  const rowBytes = Math.ceil((width * bits) / 32) * 4
  return lacks(header.readUInt32LE(10) + rowBytes * height, file.size)
}

/** A GIF may lack its trailer, and nothing else: all of its frames count. */
export async function shortfallOfGif(file: FileView): Promise<string | undefined> {
  const { isMarked, at } = await endOfGif(file)
  if (isMarked || at === file.size) return undefined
  return at > file.size ? 'one of its frames is cut off' : 'what follows one of its frames is not a frame'
}
