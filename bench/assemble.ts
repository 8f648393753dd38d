import { openDatabase } from '../ledger/database.ts'
import type { UploadId } from '../ledger/ids.ts'
import { openStorage } from '../storage/storage.ts'
import type { Bucket } from './services/bucket.ts'

const MEMORY_BYTES = 64 * 1024 ** 2

/**
 * Completes uploads that Landfall has received, as the first step of its worker does, without the steps that
 * follow. Fails when the bucket does not hold all their bytes.
 */
export async function assembleAll(
  bucket: Bucket,
  databaseUrl: string,
  uploadIds: readonly string[],
): Promise<void> {
  const db = openDatabase({
    connectionString: databaseUrl,
    maxConnections: 2,
    applicationName: 'bench',
    onPoolError: () => {},
  })
  const { endpoint, region, accessKeyId, secretAccessKey } = bucket
  const access = { endpoint, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } }
  try {
    const storage = await openStorage(
      {
        primary: 's3',
        disk: { directory: '', sync: 'always' },
        keyPrefixes: { disk: '', s3: '' },
        s3: { bucket: bucket.name, ...access, memoryBudget: MEMORY_BYTES, markerPrefix: '' },
      },
      db,
    )
    try {
      for (const id of uploadIds) await storage.bytes.assemble(id as UploadId)
    } finally {
      storage.close()
    }
  } finally {
    await db.destroy()
  }
}
