import type { FileView } from '../file-view.ts'
import { lacks } from './lacks.ts'
import { zeroTail } from './zero-tail.ts'

/** Recorders that cannot go back write this much or more: the file is as long as it is. */
const OPEN_BYTES = 0x7fff_0000
/** A WebP of one colour ends in zeros, too: in a twentieth of its bytes. */
const ZERO_PART = 1 / 8
const MIN_ZERO_BYTES = 1024
const HEADER_BYTES = 8

/** WAV, AVI and WebP: the size of the first chunk and of the data in it; RF64 has its size in a chunk of its own. */
export async function shortfallOfRiff(file: FileView): Promise<string | undefined> {
  const header = await file.take(0, 12)
  const promised = await promisedByRiff(file, header)
  const missing = promised === undefined ? undefined : lacks(promised, file.size)
  if (missing !== undefined || header.toString('latin1', 8, 12) !== 'WEBP') return missing
  const zeros = await zeroTail(file)
  return zeros >= Math.max(file.size * ZERO_PART, MIN_ZERO_BYTES)
    ? `its last ${zeros} bytes are zeros`
    : undefined
}

async function promisedByRiff(file: FileView, header: Buffer): Promise<number | undefined> {
  if (header.length < 12) return undefined
  const type = header.toString('latin1', 0, 4)
  if (type === 'RIFF') {
    const size = header.readUInt32LE(4)
    return size === 0 || size >= OPEN_BYTES ? undefined : size + HEADER_BYTES
  }
  // EBU Tech 3306: the sizes are in `ds64`, the first chunk.
  const chunk = await file.take(12, 16)
  if (chunk.length < 16 || chunk.toString('latin1', 0, 4) !== 'ds64') return undefined
  return Number(chunk.readBigUInt64LE(8)) + HEADER_BYTES
}

/** AIFF: as RIFF, with the other order of bytes. */
export async function shortfallOfAiff(file: FileView): Promise<string | undefined> {
  const header = await file.take(0, HEADER_BYTES)
  if (header.length < HEADER_BYTES || header.toString('latin1', 0, 4) !== 'FORM') return undefined
  return lacks(header.readUInt32BE(4) + HEADER_BYTES, file.size)
}
