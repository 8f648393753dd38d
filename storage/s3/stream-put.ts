import type { ServedAs } from '../../content/served-as.ts'
import type { StreamedBody } from '../store/objects.ts'
import { minPartSizeFor } from './part-size.ts'
import type { S3, S3Part } from './s3.ts'
import { bodyOf } from './s3-body.ts'

/** Bytes gathered at a time. */
const PART_BYTES = 8 * 1024 ** 2

/**
 * Stores an object from a stream, part by part in memory; the bucket checks the hash of each. Returns its etag. Stores
 * nothing where the number of bytes is not as declared.
 */
export async function putStream(
  s3: S3,
  key: string,
  { size, chunks }: StreamedBody,
  servedAs: ServedAs,
  signal: AbortSignal,
): Promise<string> {
  const partBytes = Math.max(PART_BYTES, minPartSizeFor(size))
  const parts = partsOf(chunks, partBytes)
  if (size <= partBytes) {
    const { value } = await parts.next()
    const bytes = value ?? Buffer.alloc(0)
    await checkEnd(bytes.length, size, parts)
    return (await s3.put(key, bodyOf(bytes), servedAs, signal)).etag
  }
  await s3.putInParts(key, servedAs, async (id) => {
    const stored: S3Part[] = []
    let at = 0
    for await (const bytes of parts) {
      at += bytes.length
      if (at > size) throw new Error('more bytes came than were said')
      const partNumber = stored.length + 1
      const etag = await s3.uploadPart(key, id, partNumber, bodyOf(bytes), signal)
      stored.push({ partNumber, etag })
    }
    await checkEnd(at, size, parts)
    return stored
  })
  const head = await s3.head(key)
  if (head?.size !== size) throw new Error('the bucket does not have the object that it completed')
  return head.etag
}

async function checkEnd(found: number, size: number, rest: AsyncGenerator<Buffer>): Promise<void> {
  if (found !== size || !(await rest.next()).done)
    throw new Error(`${found} bytes came where ${size} were said`)
}

/** The bytes in parts of this size, except for the last. */
async function* partsOf(chunks: AsyncIterable<Uint8Array>, partBytes: number): AsyncGenerator<Buffer> {
  let gathered: Uint8Array[] = []
  let count = 0
  for await (const chunk of chunks) {
    for (let from = 0; from < chunk.byteLength; ) {
      const piece = chunk.subarray(from, from + partBytes - count)
      gathered.push(piece)
      count += piece.byteLength
      from += piece.byteLength
      if (count < partBytes) continue
      yield Buffer.concat(gathered)
      gathered = []
      count = 0
    }
  }
  if (count > 0) yield Buffer.concat(gathered)
}
