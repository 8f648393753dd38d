import type { ServedAs } from '../../content/served-as.ts'
import { ObjectMissing } from '../store/objects.ts'
import { minPartSizeFor } from './part-size.ts'
import type { S3, S3Part } from './s3.ts'

/**
 * Larger objects are copied in parts of this size, or larger ones where 10,000 would not suffice. S3 demands it above 5
 * GiB only, but a server that really copies may be silent for longer than we wait.
 */
const COPY_BYTES = 128 * 1024 ** 2

/** Copies an object of any size inside the bucket. Fails with `ObjectMissing`, also for another etag. */
export async function copyInBucket(
  s3: S3,
  from: string,
  to: string,
  servedAs: ServedAs,
  etag: string | null = null,
  signal?: AbortSignal,
): Promise<void> {
  const head = await s3.head(from, signal)
  if (!head || (etag !== null && head.etag !== etag)) throw new ObjectMissing(from)
  const source = { key: from, ...head }
  if (source.size <= COPY_BYTES) await s3.copyWhole(source, to, servedAs, signal)
  else await copyByParts(s3, source, to, servedAs, signal)
}

async function copyByParts(
  s3: S3,
  source: { key: string; size: number; etag: string },
  to: string,
  servedAs: ServedAs,
  signal: AbortSignal | undefined,
): Promise<void> {
  const partBytes = Math.max(COPY_BYTES, minPartSizeFor(source.size))
  await s3.putInParts(to, servedAs, async (id) => {
    const parts: S3Part[] = []
    for (let start = 0; start < source.size; start += partBytes) {
      const end = Math.min(start + partBytes, source.size) - 1
      const partNumber = parts.length + 1
      const etag = await s3.copyPart(to, id, partNumber, { ...source, range: { start, end } }, signal)
      parts.push({ partNumber, etag })
    }
    return parts
  })
}
