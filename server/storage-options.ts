import { join } from 'node:path'
import type { StorageOptions } from '../storage/storage.ts'
import { literalPrefixOf } from '../storage/store/keys.ts'
import type { Config } from './config.ts'

/** The storage of the configuration. */
export function storageOptionsOf(config: Config): StorageOptions {
  return {
    primary: config.STORAGE,
    disk: { directory: join(config.DATA_DIR, 'objects'), sync: config.DISK_SYNC },
    keyPrefixes: keyPrefixesOf(config),
    s3: bucketOf(config),
  }
}

/** The configured bucket, for new files or existing ones. */
function bucketOf(config: Config): StorageOptions['s3'] {
  if (config.S3_BUCKET === undefined) return undefined
  const keys = keysOf(config.AWS_ACCESS_KEY_ID, config.AWS_SECRET_ACCESS_KEY)
  return {
    bucket: config.S3_BUCKET,
    endpoint: config.S3_ENDPOINT,
    region: config.S3_REGION,
    forcePathStyle: config.S3_FORCE_PATH_STYLE ?? config.S3_ENDPOINT !== undefined,
    credentials: keys && {
      ...keys,
      ...(config.AWS_SESSION_TOKEN ? { sessionToken: config.AWS_SESSION_TOKEN } : {}),
    },
    linkCredentials: keysOf(config.S3_LINK_ACCESS_KEY_ID, config.S3_LINK_SECRET_ACCESS_KEY),
    memoryBudget: config.S3_MEMORY_BUDGET,
    markerPrefix: literalPrefixOf(config.S3_PREFIX),
  }
}

const keysOf = (accessKeyId: string | undefined, secretAccessKey: string | undefined) =>
  accessKeyId === undefined || secretAccessKey === undefined ? undefined : { accessKeyId, secretAccessKey }

/** Templates of the prefixes of storage keys. */
export const keyPrefixesOf = (config: Pick<Config, 'S3_PREFIX'>) =>
  ({ disk: '', s3: config.S3_PREFIX }) as const
