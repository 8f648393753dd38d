import { setTimeout as sleep } from 'node:timers/promises'
import { BytesLost } from '../store/objects.ts'
import type { S3 } from './s3.ts'

/** Size in bytes and etag of a whole file, as the bucket has it. */
export type StoredWhole = { size: number; etag: string }

const COMPLETION_MS = 2_000

/**
 * The object of a file that must be there, unless the bucket has lost it: then this fails with `BytesLost`. It waits for
 * another process that completes the object at this moment.
 */
export async function storedWhole(s3: S3, key: string): Promise<StoredWhole> {
  const head = await s3.head(key)
  if (head) return head
  await sleep(COMPLETION_MS)
  const late = await s3.head(key)
  if (!late) throw new BytesLost('the object is gone')
  return late
}
