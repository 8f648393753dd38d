import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Bucket, freshBucket } from '../support/bucket.ts'
import { Random } from '../support/random.ts'
import { requires } from './requirements.ts'

const PART = 5 * 1024 * 1024

describe.skipIf(!requires('ceph').met)('the S3 gateway of the tests', () => {
  let bucket: Bucket

  beforeAll(async () => {
    bucket = await freshBucket()
  })
  afterAll(() => bucket?.close())

  test('gives back what was put', async () => {
    const bytes = new Random(1).bytes(100_000)
    await put('a key/with ümlaut', bytes)
    expect(await get('a key/with ümlaut')).toEqual(bytes)
    expect(await bucket.keys()).toEqual(['a key/with ümlaut'])
  })

  test('puts only where nothing is, if told so', async () => {
    await put('once', Buffer.from('first'), '*')
    await expect(put('once', Buffer.from('second'), '*')).rejects.toMatchObject({
      name: 'PreconditionFailed',
    })
    expect(`${await get('once')}`).toBe('first')
  })

  test('makes one object of parts, and only of all of them', async () => {
    const { UploadId } = await bucket.client.send(
      new CreateMultipartUploadCommand({ Bucket: bucket.name, Key: 'parts' }),
    )
    const bodies = [new Random(2).bytes(PART), new Random(3).bytes(1_000)]
    const parts = await Promise.all(
      bodies.map(async (Body, index) => {
        const PartNumber = index + 1
        const part = { Bucket: bucket.name, Key: 'parts', UploadId, PartNumber, Body }
        return { PartNumber, ETag: (await bucket.client.send(new UploadPartCommand(part))).ETag }
      }),
    )
    expect(await bucket.openMultiparts()).toEqual([{ key: 'parts', uploadId: UploadId }])
    const complete = (Parts: typeof parts) =>
      bucket.client.send(
        new CompleteMultipartUploadCommand({
          Bucket: bucket.name,
          Key: 'parts',
          UploadId,
          MultipartUpload: { Parts },
        }),
      )
    await expect(complete(parts.slice(0, 1))).rejects.toMatchObject({ name: 'InvalidPart' })
    await complete(parts)
    expect((await get('parts')).equals(Buffer.concat(bodies))).toBe(true)
    expect(await bucket.openMultiparts()).toEqual([])
  })

  async function put(Key: string, Body: Buffer, IfNoneMatch?: string): Promise<void> {
    await bucket.client.send(new PutObjectCommand({ Bucket: bucket.name, Key, Body, IfNoneMatch }))
  }

  async function get(Key: string): Promise<Buffer> {
    const { Body } = await bucket.client.send(new GetObjectCommand({ Bucket: bucket.name, Key }))
    return Buffer.from((await Body?.transformToByteArray()) ?? [])
  }
})
