import { randomUUID } from 'node:crypto'
import { openS3 } from '../../storage/s3/s3.ts'
import { S3Objects } from '../../storage/s3/s3-objects.ts'
import { servedAs } from '../../storage/served-as.ts'
import type { Config } from '../config.ts'
import { storageOptionsOf } from '../storage-options.ts'
import type { Finding } from './finding.ts'

/** Stores a small object and removes it again. */
export async function checkBucket(config: Config): Promise<Finding[]> {
  const options = storageOptionsOf(config)
  if (options.kind !== 's3') return []
  const s3 = openS3(options)
  const objects = new S3Objects(s3)
  const key = `landfall-doctor-${randomUUID()}`
  try {
    await objects.checkWritable()
    await objects.put(key, Buffer.from('written by landfall doctor'), servedAs(null))
    await objects.remove(key)
    return [{ level: 'ok', text: `storage: bucket ${options.bucket} can be written` }]
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    return [
      {
        level: 'error',
        text: `storage: bucket ${options.bucket} cannot be written (${cause instanceof Error ? `${cause.name}: ${cause.message}` : cause})`,
      },
    ]
  } finally {
    s3.close()
  }
}
