import { createCipheriv, createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { shortVideo } from '../fixtures/media.ts'
import { type Bucket, freshBucket } from './bucket.ts'
import { type Landfall, startLandfall } from './landfall.ts'
import { type S3Proxy, startS3Proxy } from './s3-proxy.ts'
import { asJpeg } from './sample-bytes.ts'

/** A Landfall whose bucket is reached through a network that the test has in its hands. */
export type S3Landfall = Landfall & { bucket: Bucket; proxy: S3Proxy }

export async function startS3Landfall(
  options: { env?: Record<string, string>; withoutWorker?: boolean } = {},
): Promise<S3Landfall> {
  const bucket = await freshBucket()
  const proxy = await startS3Proxy(bucket.endpoint)
  const landfall = await startLandfall({
    ...options,
    env: { UPLOAD_MAX_OPEN: '1000', ...bucket.env(proxy.url), ...options.env },
  })
  return {
    ...landfall,
    bucket,
    proxy,
    async close() {
      await landfall.close()
      await proxy.close()
      await bucket.close()
    },
  }
}

/** Bytes that anybody can make again from the same seed, and that nothing compresses; they begin like a JPEG. */
export function patterned(size: number, seed: string): Buffer {
  const key = createHash('md5').update(seed).digest()
  return asJpeg(createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size)))
}

/**
 * A valid mp4 of exactly so many bytes: a short video with more media data behind it that no track uses. In a box for
 * anything, noise would be searched for code, and be taken for some once in fifty gigabytes.
 */
export async function videoOfSize(size: number, seed: string): Promise<Buffer> {
  const video = await readFile((await shortVideo({ width: 320, height: 240, seconds: 1 })).path)
  const header = Buffer.alloc(8)
  header.writeUInt32BE(size - video.length)
  header.write('mdat', 4)
  return Buffer.concat([video, header, patterned(size - video.length - header.length, seed)])
}

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
