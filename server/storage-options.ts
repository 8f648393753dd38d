import { join } from 'node:path'
import type { StorageOptions } from '../storage/storage.ts'
import type { Config } from './config.ts'

/** What the configuration says of where bytes live. */
export function storageOptionsOf(config: Config): StorageOptions {
  if (config.STORAGE === 'disk') {
    return { kind: 'disk', directory: join(config.DATA_DIR, 'objects'), sync: config.DISK_SYNC }
  }
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = config
  return {
    kind: 's3',
    bucket: config.S3_BUCKET ?? '',
    endpoint: config.S3_ENDPOINT,
    region: config.S3_REGION,
    forcePathStyle: config.S3_FORCE_PATH_STYLE ?? config.S3_ENDPOINT !== undefined,
    credentials:
      accessKeyId === undefined || secretAccessKey === undefined
        ? undefined
        : {
            accessKeyId,
            secretAccessKey,
            ...(config.AWS_SESSION_TOKEN ? { sessionToken: config.AWS_SESSION_TOKEN } : {}),
          },
    memoryBudget: config.S3_MEMORY_BUDGET,
  }
}
