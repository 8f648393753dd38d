import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { paginateListObjectsV2 } from '@aws-sdk/client-s3'
import { type Bucket, freshBucket } from '../support/bucket.ts'
import type { StorageKind } from '../support/landfall.ts'
import { isMarkerKey } from '../support/markers.ts'
import { type ServerProcess, startServerProcess } from '../support/server-process.ts'
import { type Stored, storedInBucket, storedOnDisk } from '../support/stored.ts'

/** What a killed server stores, looked at behind its back. */
export type StoredSizes = Stored & {
  /** Bytes of every object, by its key. */
  sizes(): Promise<Map<string, number>>
}

export type Victim = { server: ServerProcess; stored: StoredSizes; stop(): Promise<void> }

/** A server to be killed, with everything embedded but its bucket, where it stores in one. */
export async function startVictim(storage: StorageKind): Promise<Victim> {
  const bucket = storage === 's3' ? await freshBucket() : undefined
  try {
    const server = await startServerProcess({ UPLOAD_MAX_OPEN: '20', ...bucket?.env() })
    return {
      server,
      stored: bucket ? inBucket(bucket) : onDisk(server.dataDirectory),
      async stop() {
        await server.stop().finally(() => bucket?.close())
      },
    }
  } catch (error) {
    await bucket?.close()
    throw error
  }
}

function onDisk(dataDirectory: string): StoredSizes {
  const stored = storedOnDisk(dataDirectory)
  const sizeOf = async (key: string): Promise<[string, number]> => [
    key,
    (await stat(join(dataDirectory, 'objects', key))).size,
  ]
  return { ...stored, sizes: async () => new Map(await Promise.all((await stored.keys()).map(sizeOf))) }
}

function inBucket(bucket: Bucket): StoredSizes {
  return {
    ...storedInBucket(bucket),
    async sizes() {
      const sizes = new Map<string, number>()
      const pages = paginateListObjectsV2({ client: bucket.client }, { Bucket: bucket.name })
      for await (const { Contents = [] } of pages) {
        for (const { Key = '', Size = Number.NaN } of Contents) if (!isMarkerKey(Key)) sizes.set(Key, Size)
      }
      return sizes
    },
  }
}
