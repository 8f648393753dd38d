import type { FileView, Stray } from '../file-view.ts'

const END_OF_IMAGE = 0xd9
const START_OF_SCAN = 0xda

/** Where the structure of a picture ends, and whether by its end marker. Beyond the file where it is cut off. */
type PictureEnd = { at: number; isMarked: boolean }

/** What follows the end of a JPEG (also the video or further picture that a phone appends), or is not valid. */
export async function* strayInJpeg(file: FileView): AsyncIterable<Stray> {
  const { at } = await endOfJpeg(file)
  if (at < file.size) yield { start: at, end: file.size }
}

export async function endOfJpeg(file: FileView): Promise<PictureEnd> {
  let at = 2
  while (at < file.size) {
    const header = await file.take(at, 4)
    const marker = header[1] ?? 0
    if (header[0] !== 0xff) break
    if (marker === END_OF_IMAGE) return { at: at + 2, isMarked: true }
    // Fill bytes and standalone markers (ITU T.81 § B.1.1.2 and B.1.1.3).
    if (marker === 0xff) at += 1
    else if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) at += 2
    else if (header.length < 4) break
    else {
      at += 2 + header.readUInt16BE(2)
      if (marker === START_OF_SCAN) at = await endOfScan(file, at)
    }
  }
  return { at, isMarked: false }
}

/** The next marker outside of coded data. */
async function endOfScan(file: FileView, start: number): Promise<number> {
  let at = start
  while (at < file.size) {
    const bytes = await file.from(at)
    const found = bytes.indexOf(0xff)
    if (found < 0) {
      at += bytes.length
      continue
    }
    const next = (await file.take(at + found, 2))[1] ?? 0
    if (next !== 0 && !(next >= 0xd0 && next <= 0xd7)) return at + found
    at += found + 2
  }
  return file.size
}

const PNG_SIGNATURE_BYTES = 8
const PNG_CHUNKS = new Set([
  ...['IHDR', 'PLTE', 'IDAT', 'IEND', 'tRNS', 'cHRM', 'gAMA', 'iCCP', 'sBIT', 'sRGB', 'cICP', 'mDCV', 'cLLI'],
  ...['tEXt', 'zTXt', 'iTXt', 'bKGD', 'hIST', 'pHYs', 'sPLT', 'eXIf', 'tIME', 'acTL', 'fcTL', 'fdAT', 'oFFs'],
  ...['pCAL', 'sCAL', 'sTER', 'gIFg', 'gIFx', 'iDOT'],
])

/** Chunks of unknown kinds, and what follows the last one (PNG § 5.3). */
export async function* strayInPng(file: FileView): AsyncIterable<Stray> {
  let at = PNG_SIGNATURE_BYTES
  while (at < file.size) {
    const header = await file.take(at, 8)
    if (header.length < 8) break
    const type = header.toString('latin1', 4, 8)
    const next = at + 12 + header.readUInt32BE(0)
    if (!PNG_CHUNKS.has(type)) yield { start: at, end: Math.min(next, file.size) }
    at = next
    if (type === 'IEND') break
  }
  if (at < file.size) yield { start: at, end: file.size }
}

const EXTENSION = 0x21
const IMAGE = 0x2c
const TRAILER = 0x3b
const colourTableBytes = (packed: number) => (packed & 0x80 ? 3 * 2 ** ((packed & 7) + 1) : 0)

/** What follows the trailer of a GIF, or is not valid. */
export async function* strayInGif(file: FileView): AsyncIterable<Stray> {
  const { at } = await endOfGif(file)
  if (at < file.size) yield { start: at, end: file.size }
}

/** GIF89a § 15 to 27. */
export async function endOfGif(file: FileView): Promise<PictureEnd> {
  let at = 13 + colourTableBytes((await file.take(0, 13))[10] ?? 0)
  while (at < file.size) {
    const block = await file.take(at, 10)
    if (block[0] === EXTENSION) at = await endOfSubBlocks(file, at + 2)
    else if (block[0] === IMAGE) at = await endOfSubBlocks(file, at + 11 + colourTableBytes(block[9] ?? 0))
    else if (block[0] === TRAILER) return { at: at + 1, isMarked: true }
    else break
  }
  return { at, isMarked: false }
}

async function endOfSubBlocks(file: FileView, start: number): Promise<number> {
  let at = start
  while (at < file.size) {
    const bytes = (await file.take(at, 1))[0] ?? 0
    at += 1 + bytes
    if (bytes === 0) return at
  }
  return Math.max(at, file.size + 1)
}
