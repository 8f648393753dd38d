import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bucket } from '../services/bucket.ts'

/** Where a subject stores: a directory of its own, and a bucket of its own where it stores there. */
export type SubjectPlace = { directory: string; bucket: Bucket | null }

/** A bucket as environment variables: the names that Landfall and every SDK of AWS read. */
export const s3Environment = (bucket: Bucket): Record<string, string> => ({
  S3_BUCKET: bucket.name,
  S3_ENDPOINT: bucket.endpoint,
  S3_REGION: bucket.region,
  AWS_REGION: bucket.region,
  AWS_ACCESS_KEY_ID: bucket.accessKeyId,
  AWS_SECRET_ACCESS_KEY: bucket.secretAccessKey,
})

/** Removes what a directory holds; one that does not exist is empty. */
export async function emptyDirectory(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => [])
  await Promise.all(names.map((name) => rm(join(directory, name), { recursive: true })))
}
