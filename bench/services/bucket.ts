import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import type { S3Access } from '../../test/services/ceph.ts'
import { s3Client } from '../../test/support/bucket.ts'

/** A bucket and how it is reached. */
export type Bucket = Omit<S3Access, 'links'> & { name: string }

/** Makes buckets, and has the gateway make what it otherwise makes for the first object that it stores. */
export async function createBuckets(access: S3Access, names: readonly string[]): Promise<void> {
  const client = s3Client(access)
  try {
    for (const Bucket of names) {
      await client.send(new CreateBucketCommand({ Bucket }))
      const object = { Bucket, Key: 'first' }
      await client.send(new PutObjectCommand({ ...object, Body: 'first' }))
      await client.send(new DeleteObjectCommand(object))
      const { UploadId } = await client.send(new CreateMultipartUploadCommand(object))
      await client.send(new AbortMultipartUploadCommand({ ...object, UploadId }))
    }
  } finally {
    client.destroy()
  }
}
