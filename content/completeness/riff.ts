import type { FileView } from '../file-view.ts'
import { lacks } from './lacks.ts'
import { zerosBefore } from './zero-tail.ts'

/** Recorders that cannot go back write this much or more: the file is as long as it is. */
const OPEN_BYTES = 0x7fff_0000
/** A WebP of one colour ends in zeros, too: in a twentieth of its bytes. */
const ZERO_PART = 1 / 8
const MIN_ZERO_BYTES = 1024
const HEADER_BYTES = 8
const MAX_CHUNKS = 1000

/** WAV, AVI and WebP: the sizes of their outermost chunks, and that of the samples of WAV. */
export async function shortfallOfRiff(file: FileView): Promise<string | undefined> {
  const header = await file.take(0, 12)
  const form = header.toString('latin1', 8, 12)
  const end = await endOfChunks(file)
  if (end === undefined) return undefined
  const missing = lacks(form === 'WAVE' ? await endOfSamples(file, end) : end, file.size)
  return missing ?? (form === 'WEBP' ? await zeroedEnd(file, end) : undefined)
}

/** Large AVI files consist of several chunks. Undefined where one has no size. */
async function endOfChunks(file: FileView): Promise<number | undefined> {
  let at = 0
  for (let chunks = 0; chunks < MAX_CHUNKS && at < file.size; chunks++) {
    const header = await file.take(at, 28)
    const type = header.toString('latin1', 0, 4)
    if (header.length < 12 || !['RIFF', 'RF64', 'BW64'].includes(type)) break
    const bytes = type === 'RIFF' ? header.readUInt32LE(4) : size64(header)
    if (isOpen(bytes)) return undefined
    at += HEADER_BYTES + (bytes ?? 0)
    at += at % 2
  }
  return at
}

/** EBU Tech 3306: the size is in `ds64`, the first chunk. */
function size64(header: Buffer): number | undefined {
  return header.length >= 28 && header.toString('latin1', 12, 16) === 'ds64'
    ? Number(header.readBigUInt64LE(20))
    : undefined
}

const isOpen = (bytes: number | undefined): boolean =>
  bytes === undefined || bytes === 0 || (bytes >= OPEN_BYTES && bytes <= 0xffff_ffff)

/** Where `data` ends, which may be beyond the chunk that holds it. */
async function endOfSamples(file: FileView, end: number): Promise<number> {
  for (let at = 12, chunks = 0; at < end && chunks < MAX_CHUNKS; chunks++) {
    const header = await file.take(at, HEADER_BYTES)
    if (header.length < HEADER_BYTES) break
    const bytes = header.readUInt32LE(4)
    const next = at + HEADER_BYTES + bytes
    if (header.toString('latin1', 0, 4) === 'data') return isOpen(bytes) ? end : Math.max(end, next)
    at = next + (next % 2)
  }
  return end
}

/** AIFF: as RIFF, with the other order of bytes. */
export async function shortfallOfAiff(file: FileView): Promise<string | undefined> {
  const header = await file.take(0, HEADER_BYTES)
  if (header.length < HEADER_BYTES || header.toString('latin1', 0, 4) !== 'FORM') return undefined
  const bytes = header.readUInt32BE(4)
  return isOpen(bytes) ? undefined : lacks(bytes + HEADER_BYTES, file.size)
}

async function zeroedEnd(file: FileView, end: number): Promise<string | undefined> {
  const most = Math.max(Math.ceil(file.size * ZERO_PART), MIN_ZERO_BYTES)
  const zeros = await zerosBefore(file, Math.min(end, file.size), most)
  return zeros >= most ? `its last ${zeros} bytes are zeros` : undefined
}
