import type { FileView } from '../file-view.ts'
import { lacks } from './lacks.ts'

const CHUNK_HEADER_BYTES = 12
const MAX_CHUNKS = 1000

/** Apple's Core Audio Format: chunks with their sizes. The last one may be open while it is recorded. */
export async function shortfallOfCaf(file: FileView): Promise<string | undefined> {
  let at = 8
  for (let chunks = 0; chunks < MAX_CHUNKS && at + CHUNK_HEADER_BYTES <= file.size; chunks++) {
    const bytes = (await file.take(at, CHUNK_HEADER_BYTES)).readBigInt64BE(4)
    if (bytes < 0n || bytes > Number.MAX_SAFE_INTEGER) return undefined
    at += CHUNK_HEADER_BYTES + Number(bytes)
  }
  return lacks(at, file.size)
}
