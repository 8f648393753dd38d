import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { requires } from '../services/requirements.ts'
import { type Bucket, freshBucket } from './bucket.ts'
import { Random } from './random.ts'
import { type FaultRule, type S3Call, type S3Proxy, startS3Proxy } from './s3-proxy.ts'

const MEBIBYTE = 1024 * 1024

describe.skipIf(!requires('ceph').met)('the S3 proxy', () => {
  let bucket: Bucket
  let proxy: S3Proxy
  /** Through the proxy, trying once. */
  let client: S3Client

  beforeEach(async () => {
    bucket = await freshBucket()
    proxy = await startS3Proxy(bucket.endpoint)
    client = bucket.clientVia(proxy.url)
  })
  afterEach(async () => {
    client?.destroy()
    await proxy?.close()
    await bucket?.close()
  })

  test('names and counts every call, and signatures stay valid', async () => {
    const at = (Key: string) => ({ Bucket: bucket.name, Key })
    const Bucket = bucket.name
    await client.send(new HeadBucketCommand({ Bucket }))
    await client.send(new PutObjectCommand({ ...at('a/b c'), Body: 'hello' }))
    await client.send(new HeadObjectCommand(at('a/b c')))
    await (await client.send(new GetObjectCommand(at('a/b c')))).Body?.transformToString()
    await client.send(new CopyObjectCommand({ ...at('copy'), CopySource: `${Bucket}/a%2Fb%20c` }))
    await client.send(new ListObjectsV2Command({ Bucket }))
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(at('parts')))
    const part = { ...at('parts'), UploadId, PartNumber: 1 }
    const { ETag } = await client.send(new UploadPartCommand({ ...part, Body: Buffer.alloc(5 * MEBIBYTE) }))
    await client.send(
      new UploadPartCopyCommand({ ...part, PartNumber: 2, CopySource: `${Bucket}/a%2Fb%20c` }),
    )
    const { Parts } = await client.send(new ListPartsCommand({ ...at('parts'), UploadId }))
    await client.send(new ListMultipartUploadsCommand({ Bucket }))
    await client.send(
      new CompleteMultipartUploadCommand({ ...at('parts'), UploadId, MultipartUpload: { Parts } }),
    )
    const other = await client.send(new CreateMultipartUploadCommand(at('other')))
    await client.send(new AbortMultipartUploadCommand({ ...at('other'), UploadId: other.UploadId }))
    await client.send(new DeleteObjectCommand(at('copy')))
    await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'parts' }] } }))

    expect(proxy.calls.map((call) => call.operation)).toEqual([
      ...['HeadBucket', 'PutObject', 'HeadObject', 'GetObject', 'CopyObject', 'ListObjects'],
      ...['CreateMultipartUpload', 'UploadPart', 'UploadPartCopy', 'ListParts', 'ListMultipartUploads'],
      ...['CompleteMultipartUpload', 'CreateMultipartUpload', 'AbortMultipartUpload', 'DeleteObject'],
      'DeleteObjects',
    ])
    expect(proxy.calls.every(({ status = 0 }) => status < 300)).toBe(true)
    expect(ETag).toBe(Parts?.[0]?.ETag)
    expect(proxy.calls[1]).toMatchObject({ key: 'a/b c', bytesIn: 5, status: 200 })
    expect(proxy.calls[3]).toMatchObject({ bytesOut: 5 })
    expect(proxy.calls[7]).toMatchObject({ partNumber: 1, uploadId: UploadId, bytesIn: 5 * MEBIBYTE })
    await expect.poll(() => proxy.calls.every((call) => (call.endedAt ?? 0) >= call.startedAt)).toBe(true)
    expect(proxy.count()).toBe(16)
    expect(proxy.count('CreateMultipartUpload')).toBe(2)
    proxy.reset()
    expect(proxy.count()).toBe(0)
  })

  test('passes big bodies unchanged, several at a time', async () => {
    const bodies = [1, 2, 3, 4].map((seed) => new Random(seed).bytes(8 * MEBIBYTE))
    await Promise.all(bodies.map((body, index) => put(`big-${index}`, body)))
    const read = await Promise.all(bodies.map((_, index) => get(`big-${index}`)))
    expect(read.every((body, index) => bodies[index]?.equals(body))).toBe(true)
  })

  test('passes a call slowly, or late', async () => {
    const slow = proxy.fail({ when: isPut, what: 'slow', bytesPerSecond: 2 * MEBIBYTE })
    const began = performance.now()
    await put('slow', Buffer.alloc(MEBIBYTE))
    expect(performance.now() - began).toBeGreaterThan(400)
    expect(slow.hits).toBe(1)
    const delay = proxy.fail({ when: isGet, what: 'delay', delayMs: 200 })
    const beganToRead = performance.now()
    expect(await get('slow')).toHaveLength(MEBIBYTE)
    expect(performance.now() - beganToRead).toBeGreaterThan(190)
    expect(delay.hits).toBe(1)
  })

  test('refuses in the words of S3, as often as asked', async () => {
    const fault = proxy.fail({ when: isPut, times: 2, what: 'refuse-503' })
    for (let tries = 0; tries < 2; tries++) {
      await expect(put('x', Buffer.alloc(MEBIBYTE))).rejects.toMatchObject({
        name: 'SlowDown',
        $metadata: { httpStatusCode: 503 },
      })
    }
    expect(await bucket.keys()).toEqual([])
    await put('x', Buffer.alloc(MEBIBYTE))
    expect(fault.hits).toBe(2)
    proxy.fail({ when: isGet, what: 'refuse-500' })
    await expect(get('x')).rejects.toMatchObject({ name: 'InternalError' })
    expect(proxy.calls.map(({ fault, status, bytesIn }) => [fault, status, bytesIn])).toEqual([
      ['refuse-503', 503, MEBIBYTE],
      ['refuse-503', 503, MEBIBYTE],
      [undefined, 200, MEBIBYTE],
      ['refuse-500', 500, 0],
    ])
  })

  test('resets before and after the gateway has done it', async () => {
    await failOnce({ when: isPut, what: 'reset-before' }, 'before')
    expect(await bucket.keys()).toEqual([])
    await failOnce({ when: isPut, what: 'reset-after' }, 'after')
    expect(await bucket.keys()).toEqual(['after'])
    await failOnce({ when: isPut, what: 'truncate' }, 'no body to cut')
    expect(await bucket.keys()).toEqual(['after', 'no body to cut'])
  })

  test('cuts a reply short', async () => {
    await put('x', Buffer.alloc(MEBIBYTE))
    proxy.fail({ when: isGet, what: 'truncate' })
    await expect(get('x')).rejects.toThrow(/aborted|ECONNRESET|terminated/)
    expect(proxy.calls.at(-1)).toMatchObject({ operation: 'GetObject', status: 200, bytesOut: MEBIBYTE / 2 })
  })

  test('stalls before and after until the fault is stopped', async () => {
    const before = proxy.fail({ when: isPut, what: 'stall' })
    const first = put('first', Buffer.from('1'))
    await expect.poll(() => before.hits).toBe(1)
    expect(await bucket.keys()).toEqual([])
    before.stop()
    await first

    const after = proxy.fail({ when: isPut, what: 'stall-after' })
    const second = put('second', Buffer.from('2'))
    await expect.poll(() => bucket.keys()).toEqual(['first', 'second'])
    expect(proxy.calls.at(-1)?.endedAt).toBeUndefined()
    after.stop()
    await second
    await put('third', Buffer.from('3'))
    expect(after.hits).toBe(1)
  })

  test('a client that gives up ends its call', async () => {
    proxy.fail({ when: isPut, what: 'stall' })
    const abort = new AbortController()
    const put = client.send(new PutObjectCommand({ Bucket: bucket.name, Key: 'x', Body: 'x' }), {
      abortSignal: abort.signal,
    })
    await expect.poll(() => proxy.count('PutObject')).toBe(1)
    abort.abort()
    await expect(put).rejects.toMatchObject({ name: 'AbortError' })
    await expect.poll(() => proxy.calls[0]?.endedAt).toBeDefined()
  })

  test('holds every call while paused', async () => {
    proxy.pause()
    const both = Promise.all([put('a', Buffer.from('a')), put('b', Buffer.from('b'))])
    await expect.poll(() => proxy.count()).toBe(2)
    expect(await bucket.keys()).toEqual([])
    proxy.resume()
    await both
    expect(await bucket.keys()).toEqual(['a', 'b'])
  })

  test('faults by chance repeat with the seed', async () => {
    const faultsOf = async (seed: number) => {
      proxy.reset()
      const chaos = proxy.random({ seed, probability: 0.4, kinds: ['refuse-500', 'reset-after'] })
      for (let n = 0; n < 30; n++) await put('x', Buffer.from('x')).catch(() => {})
      chaos.stop()
      const faults = proxy.calls.map((call) => call.fault)
      expect(chaos.hits).toBe(faults.filter(Boolean).length)
      return faults
    }
    const faults = await faultsOf(7)
    expect(await faultsOf(7)).toEqual(faults)
    expect(await faultsOf(8)).not.toEqual(faults)
    expect(new Set(faults)).toEqual(new Set([undefined, 'refuse-500', 'reset-after']))
  })

  const isPut = (call: S3Call) => call.operation === 'PutObject'
  const isGet = (call: S3Call) => call.operation === 'GetObject'

  async function failOnce(rule: FaultRule, key: string): Promise<void> {
    const fault = proxy.fail({ ...rule, times: 1 })
    await expect(put(key, Buffer.alloc(100_000))).rejects.toThrow(/ECONNRESET|EPIPE|socket hang up/)
    expect(fault.hits).toBe(1)
  }

  async function put(Key: string, Body: Buffer): Promise<void> {
    await client.send(new PutObjectCommand({ Bucket: bucket.name, Key, Body }))
  }

  async function get(Key: string): Promise<Buffer> {
    const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket.name, Key }))
    return Buffer.from((await Body?.transformToByteArray()) ?? [])
  }
})
