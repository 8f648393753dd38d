import { once } from 'node:events'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { servedAs } from '../content/served-as.ts'
import { parseConfig } from '../server/config.ts'
import { storageOptionsOf } from '../server/storage-options.ts'
import { S3 } from '../storage/s3/s3.ts'
import { S3Objects } from '../storage/s3/s3-objects.ts'
import { ObjectMissing, ObjectTooLarge, StorageUnavailable } from '../storage/store/objects.ts'
import { requires } from './services/requirements.ts'
import { type Bucket, freshBucket } from './support/bucket.ts'
import { patterned } from './support/s3-landfall.ts'
import { type RunningFault, type S3Proxy, startS3Proxy } from './support/s3-proxy.ts'

const ceph = requires('ceph')
const MIB = 1024 * 1024
const AS_VIDEO = servedAs('video/mp4')

describe.skipIf(!ceph.met)('objects in a bucket', () => {
  let bucket: Bucket
  let proxy: S3Proxy
  let s3: S3
  let objects: S3Objects
  const faults: RunningFault[] = []

  beforeAll(async () => {
    bucket = await freshBucket()
    proxy = await startS3Proxy(bucket.endpoint)
    s3 = open(bucket.env(proxy.url))
    objects = new S3Objects(s3)
  })
  afterEach(() => {
    for (const fault of faults.splice(0)) fault.stop()
    proxy.reset()
  })
  afterAll(async () => {
    s3?.close()
    await proxy?.close()
    await bucket?.close()
  })

  function open(env: Record<string, string>): S3 {
    const { s3: options } = storageOptionsOf(parseConfig(env, { auth: false }))
    if (!options) throw new Error('this is about S3')
    return new S3(options)
  }
  const fail = (rule: Parameters<S3Proxy['fail']>[0]) => void faults.push(proxy.fail(rule))
  const isGet = ({ operation }: { operation: string }) => operation === 'GetObject'
  const gets = () => proxy.calls.filter(isGet)

  async function store(key: string, size: number, seed = key): Promise<Buffer> {
    const bytes = patterned(size, seed)
    await objects.put(key, bytes, AS_VIDEO)
    return bytes
  }
  const etagOf = async (key: string) => (await s3.head(key))?.etag ?? ''

  it('are stored with how they are to be served, and read whole or in ranges', async () => {
    const bytes = await store('a', MIB)
    const head = await bucket.client.send(new HeadObjectCommand({ Bucket: bucket.name, Key: 'a' }))
    expect(head).toMatchObject({ ContentType: 'video/mp4', ContentDisposition: 'inline' })
    expect(await objects.sizeOf('a')).toBe(MIB)
    expect((await buffer(await objects.read('a'))).equals(bytes)).toBe(true)
    const part = await buffer(await objects.read('a', { range: { start: 10, end: 4096 } }))
    expect(part.equals(bytes.subarray(10, 4097))).toBe(true)
    // A range that reaches behind the end gives the bytes up to the end.
    const end = await buffer(await objects.read('a', { range: { start: MIB - 5, end: 2 * MIB } }))
    expect(end.equals(bytes.subarray(MIB - 5))).toBe(true)
  })

  it('may be empty', async () => {
    await objects.put('empty', new Uint8Array(), AS_VIDEO)
    expect(await buffer(await objects.read('empty'))).toEqual(Buffer.alloc(0))
  })

  it('are stored from a file, with its bytes through all faults, or not at all', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-put-file-'))
    onTestFinished(() => rm(directory, { recursive: true, force: true }))
    const path = join(directory, 'file')
    const bytes = patterned(3 * MIB + 7, 'file')
    await writeFile(path, bytes)
    const isPut = ({ operation }: { operation: string }) => operation === 'PutObject'
    fail({ what: 'reset-before', when: isPut, times: 1 })
    fail({ what: 'refuse-503', when: isPut, times: 1 })
    await objects.putFile('from-file', path, AS_VIDEO)
    expect(proxy.count('PutObject')).toBe(3)
    const head = await bucket.client.send(new HeadObjectCommand({ Bucket: bucket.name, Key: 'from-file' }))
    expect(head).toMatchObject({ ContentType: 'video/mp4', ContentLength: bytes.length })
    expect((await buffer(await objects.read('from-file'))).equals(bytes)).toBe(true)

    fail({ what: 'refuse-503', when: isPut })
    await expect(objects.putFile('refused', path, AS_VIDEO)).rejects.toThrow(StorageUnavailable)
    await truncate(path, 5 * 1024 ** 3 + 1)
    proxy.reset()
    await expect(objects.putFile('too-large', path, AS_VIDEO)).rejects.toThrow(ObjectTooLarge)
    await expect(objects.putFile('none', join(directory, 'none'), AS_VIDEO)).rejects.toThrow('ENOENT')
    const stopped = objects.putFile('stopped', path, AS_VIDEO, AbortSignal.abort())
    await expect(stopped).rejects.toThrow()
    expect(proxy.calls).toEqual([])
  })

  it('that are not there, or have been replaced, are missing', async () => {
    expect(await objects.sizeOf('nothing')).toBeUndefined()
    await expect(objects.read('nothing')).rejects.toThrow(ObjectMissing)
    await expect(objects.copy('nothing', 'copy', AS_VIDEO)).rejects.toThrow(ObjectMissing)
    await objects.remove('nothing')

    await store('b', 1000, 'first')
    const etag = await etagOf('b')
    expect((await buffer(await objects.read('b', { etag }))).length).toBe(1000)
    await store('b', 1000, 'second')
    await expect(objects.read('b', { etag })).rejects.toThrow(ObjectMissing)
    await expect(objects.copy('b', 'copy', AS_VIDEO, etag)).rejects.toThrow(ObjectMissing)
    expect(await objects.sizeOf('copy')).toBeUndefined()
  })

  it('are copied by parts where they are large, also after a copy that was killed', async () => {
    const key = 'large'
    const half = Buffer.alloc(70 * MIB, 'x')
    const id = (await bucket.client.send(new CreateMultipartUploadCommand({ Bucket: bucket.name, Key: key })))
      .UploadId
    const part = { Bucket: bucket.name, Key: key, UploadId: id }
    const etags: (string | undefined)[] = []
    for (const PartNumber of [1, 2]) {
      etags.push((await bucket.client.send(new UploadPartCommand({ ...part, PartNumber, Body: half }))).ETag)
    }
    const Parts = etags.map((ETag, index) => ({ ETag, PartNumber: index + 1 }))
    await bucket.client.send(new CompleteMultipartUploadCommand({ ...part, MultipartUpload: { Parts } }))
    await bucket.client.send(new CreateMultipartUploadCommand({ Bucket: bucket.name, Key: 'public/large' }))
    proxy.reset()
    await objects.copy(key, 'public/large', AS_VIDEO)
    expect(proxy.count('UploadPartCopy')).toBe(2)
    expect(await bucket.openMultiparts()).toEqual([])
    const copy = await bucket.client.send(new HeadObjectCommand({ Bucket: bucket.name, Key: 'public/large' }))
    expect(copy).toMatchObject({ ContentLength: 140 * MIB, ContentType: AS_VIDEO.contentType })
    for (const one of [key, 'public/large']) await objects.remove(one)
  })

  it('are copied inside the bucket, to be served in another way', async () => {
    const bytes = await store('some key/with ünusual+characters', MIB)
    proxy.reset()
    await objects.copy('some key/with ünusual+characters', 'public/copy', servedAs(null))
    expect(proxy.calls.reduce((sum, { bytesIn, bytesOut }) => sum + bytesIn + bytesOut, 0)).toBeLessThan(
      10_000,
    )
    const copy = await bucket.client.send(new GetObjectCommand({ Bucket: bucket.name, Key: 'public/copy' }))
    expect(copy).toMatchObject({
      ContentType: 'application/octet-stream',
      ContentDisposition: 'attachment',
    })
    expect(bytes.equals(Buffer.from((await copy.Body?.transformToByteArray()) ?? []))).toBe(true)
    await objects.remove('public/copy')
    expect(await objects.sizeOf('public/copy')).toBeUndefined()
  })

  it('have addresses for tools and browsers, for one method each', async () => {
    const bytes = await store('c', 1000)
    const input = await objects.toolInput('c')
    expect(Buffer.from(await (await fetch(input)).arrayBuffer()).equals(bytes)).toBe(true)

    const page = await fetch(await objects.link('c', servedAs('text/html')))
    expect([page.headers.get('Content-Type'), page.headers.get('Content-Disposition')]).toEqual([
      'application/octet-stream',
      'attachment',
    ])
    const forHead = await objects.link('c', AS_VIDEO, { method: 'HEAD' })
    const head = await fetch(forHead, { method: 'HEAD' })
    expect([head.status, head.headers.get('Content-Length')]).toEqual([200, '1000'])
    expect((await fetch(forHead)).status).toBe(403)
    expect((await fetch(input, { method: 'HEAD' })).status).toBe(403)
    expect((await fetch(input, { method: 'DELETE' })).status).toBe(403)
  })

  it('can be stored while the bucket answers', async () => {
    await objects.checkWritable()
    const elsewhere = open({ ...bucket.env(), S3_BUCKET: 'no-such-bucket' })
    await expect(new S3Objects(elsewhere).checkWritable()).rejects.toThrow()
    elsewhere.close()
  })

  describe('while they are read', () => {
    const SIZE = 8 * MIB
    let bytes: Buffer
    beforeAll(async () => {
      bytes = await store('large', SIZE)
    })

    it('come whole although replies break off, the rest of the very same object each time', async () => {
      fail({ what: 'truncate', when: isGet, times: 6 })
      const read = await buffer(await objects.read('large'))
      expect(read.equals(bytes)).toBe(true)
      expect(gets()).toHaveLength(7)
      // Only what is missing is asked for. How much of one that breaks off is lost on its way
      // is for the sockets to say, so the replies are not added up.
      expect(gets().map(({ status }) => status)).toEqual([200, ...Array(6).fill(206)])
      expect(gets().at(-1)?.bytesOut).toBeLessThan(SIZE)
    })

    it('come as the range that was asked for although replies break off', async () => {
      fail({ what: 'truncate', when: isGet, times: 3 })
      const range = { start: MIB + 1, end: 5 * MIB }
      const read = await buffer(await objects.read('large', { range }))
      expect(read.equals(bytes.subarray(range.start, range.end + 1))).toBe(true)
    })

    it('come whole when the way on fails for a moment', async () => {
      let n = 0
      const nth =
        (...which: number[]) =>
        (call: { operation: string }) =>
          isGet(call) && which.includes(++n)
      fail({ what: 'truncate', when: (call) => isGet(call) && gets().length === 1 })
      fail({ what: 'refuse-503', when: nth(1, 2) })
      expect((await buffer(await objects.read('large'))).equals(bytes)).toBe(true)
    })

    it('fail as an outage when replies bring nothing more', { timeout: 30_000 }, async () => {
      fail({ what: 'truncate', when: isGet, times: 1 })
      fail({ what: 'reset-before', when: isGet })
      const read = buffer(await objects.read('large'))
      await expect(read).rejects.toThrow(StorageUnavailable)
      expect(gets().length).toBeLessThan(40)
    })

    it('are missing when they are replaced in the middle', async () => {
      await store('replaced', SIZE, 'first')
      fail({ what: 'truncate', when: isGet, times: 1 })
      const source = await objects.read('replaced')
      await store('replaced', SIZE, 'second')
      await expect(buffer(source)).rejects.toThrow(ObjectMissing)
    })

    it('come no faster than they are taken', async () => {
      const big = await store('big', 64 * MIB)
      const source = await objects.read('big')
      await once(source, 'readable')
      let before = -1
      // What fits into the sockets between here and the gateway, and then nothing.
      await expect
        .poll(
          () => {
            const now = gets()[0]?.bytesOut ?? 0
            const isStill = now === before
            before = now
            return isStill
          },
          { interval: 300, timeout: 10_000 },
        )
        .toBe(true)
      expect(before).toBeLessThan(32 * MIB)
      expect(source.readableLength).toBeLessThan(MIB)
      expect((await buffer(source)).equals(big)).toBe(true)
    })

    const leave: [when: string, get: () => Promise<Readable>][] = [
      [
        'has read something',
        () => objects.read('large').then(async (source) => once(source, 'readable').then(() => source)),
      ],
      ['has read nothing yet', () => objects.read('large')],
    ]
    it.each(leave)('are hung up on when the reader %s and stops', async (_when, get) => {
      fail({ what: 'slow', bytesPerSecond: 200_000, when: isGet })
      const source = await get()
      source.destroy()
      await expect.poll(() => gets().every(({ endedAt }) => endedAt !== undefined)).toBe(true)
      expect(gets()).toHaveLength(1)
      expect(gets()[0]?.bytesOut).toBeLessThan(SIZE)
    })

    it('are hung up on when the reader stops while the way on is awaited', async () => {
      fail({ what: 'truncate', when: isGet, times: 1 })
      fail({ what: 'stall', when: isGet })
      const source = await objects.read('large')
      source.resume()
      await expect.poll(() => gets().length).toBe(2)
      source.destroy()
      await expect.poll(() => gets().every(({ endedAt }) => endedAt !== undefined)).toBe(true)
    })
  })
})
