import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { workerOptions } from '../commands/worker.ts'
import { runWorker } from '../processing/process.ts'
import type { Worker } from '../processing/worker.ts'
import { parseConfig } from '../server/config.ts'
import { createLog } from '../server/process/log.ts'
import { requires } from './services/requirements.ts'
import { asOwnerId, asUploadId } from './support/ids.ts'
import { SECRET } from './support/landfall.ts'
import { type S3Landfall, sha256Of, startS3Landfall, videoOfSize } from './support/s3-landfall.ts'
import { createId, head, patch } from './support/tus.ts'
import { outcome } from './support/uploads.ts'

const ceph = requires('ceph')
const ffmpeg = requires('ffmpeg')
const MIB = 1024 * 1024
const AS_VIDEO = { metadata: { filename: 'a.mp4', filetype: 'video/mp4' } }

/** What loses or corrupts files on the stock store. Here the content is right, or the upload says what happened. */
describe.skipIf(!ceph.met || !ffmpeg.met)('bytes in S3', () => {
  let landfall: S3Landfall
  let worker: Worker | undefined
  beforeAll(async () => {
    landfall = await startS3Landfall({ withoutWorker: true })
  })
  afterAll(async () => {
    await worker?.close()
    await landfall?.close()
  })

  /** The worker comes when the test has done to the bucket what it wants it to find. */
  async function startWorker(): Promise<void> {
    const { bucket, connectionString, proxy } = landfall
    const env = {
      AUTH_JWT_SECRET: SECRET,
      SCAN: 'off',
      DATABASE_URL: connectionString,
      ...bucket.env(proxy.url),
    }
    const log = createLog({ level: process.env.TEST_LOG_LEVEL ?? 'silent', name: 'test' })
    worker ??= await runWorker(workerOptions(parseConfig(env, { auth: true }), connectionString, log))
  }
  async function stopWorker(): Promise<void> {
    await worker?.close()
    worker = undefined
  }
  const rowOf = (id: string) =>
    landfall.db
      .selectFrom('landfall.uploads')
      .selectAll()
      .where('id', '=', asUploadId(id))
      .executeTakeFirstOrThrow()
  const offsetOf = async (id: string) =>
    Number((await head(landfall, 'alice', id)).headers.get('Upload-Offset') ?? Number.NaN)
  const send = (id: string, bytes: Buffer, from: number, to?: number) =>
    patch(landfall, 'alice', id, { offset: from, body: bytes.subarray(from, to) })
  const finished = async (id: string) => {
    await startWorker()
    const media = await outcome(landfall, 'alice', id)
    await stopWorker()
    return media
  }
  const content = async (mediaId: string) => {
    const answer = await landfall.as('alice')(`/api/v1/media/${mediaId}/content`)
    return { status: answer.status, bytes: Buffer.from(await answer.arrayBuffer()) }
  }
  /** An upload whose parts are all there, and that nobody has assembled yet. */
  async function received(
    seed: string,
  ): Promise<{ id: string; bytes: Buffer; key: string; multipartId: string }> {
    const bytes = await videoOfSize(11 * MIB, seed)
    const id = await createId(landfall, 'alice', { size: bytes.length, ...AS_VIDEO })
    for (let at = 0; at < bytes.length; at += 5 * MIB) {
      expect((await send(id, bytes, at, at + 5 * MIB)).status).toBe(204)
    }
    const row = await rowOf(id)
    return { id, bytes, key: row.storage_key, multipartId: row.multipart_id ?? '' }
  }
  const expectLost = async (id: string) => {
    const media = await finished(id)
    expect(media).toMatchObject({ status: 'failed', reason: { code: 'bytes-lost' } })
    expect((await content(media.id)).status).toBe(409)
  }

  it('part 2 fails while 3 and 4 succeed: nothing behind the gap counts', async () => {
    const bytes = await videoOfSize(70 * MIB + 11, 'gap')
    const id = await createId(landfall, 'alice', { size: bytes.length, ...AS_VIDEO })
    const fault = landfall.proxy.fail({
      when: ({ operation, partNumber }) => operation === 'UploadPart' && partNumber === 2,
      what: 'refuse-500',
    })
    const answer = await send(id, bytes, 0)
    expect(answer.status).toBe(503)
    expect(await answer.json()).toMatchObject({ code: 'unavailable' })
    fault.stop()
    expect(fault.hits).toBeGreaterThan(1)
    expect(
      landfall.proxy.calls.filter(({ partNumber, status }) => (partNumber ?? 0) > 2 && status === 200),
    ).not.toEqual([])
    expect(await offsetOf(id)).toBe(8 * MIB)
    expect((await send(id, bytes, 8 * MIB)).status).toBe(204)
    const media = await finished(id)
    expect(media).toMatchObject({ status: 'ready', sha256: sha256Of(bytes) })
    expect(sha256Of((await content(media.id)).bytes)).toBe(sha256Of(bytes))
  })

  it('the multipart upload is gone while the client still sends: it is told, and the upload has ended', async () => {
    const bytes = await videoOfSize(20 * MIB, 'gone')
    const id = await createId(landfall, 'alice', { size: bytes.length, ...AS_VIDEO })
    expect((await send(id, bytes, 0, 5 * MIB)).status).toBe(204)
    const { storage_key: Key, multipart_id: UploadId } = await rowOf(id)
    await landfall.bucket.client.send(
      new AbortMultipartUploadCommand({ Bucket: landfall.bucket.name, Key, UploadId: UploadId ?? '' }),
    )
    const answer = await send(id, bytes, 5 * MIB, 10 * MIB)
    expect(answer.status).toBe(410)
    expect(await answer.json()).toMatchObject({ code: 'upload-rejected', reason: { code: 'bytes-lost' } })
    const after = await head(landfall, 'alice', id)
    expect([after.status, after.headers.get('Upload-Reject-Reason')]).toEqual([410, 'bytes-lost'])
    const quota = await landfall.db
      .selectFrom('landfall.quota_usage')
      .selectAll()
      .where('owner_id', '=', asOwnerId('alice'))
      .executeTakeFirst()
    const open = await landfall.db
      .selectFrom('landfall.uploads')
      .select('id')
      .where('state', '=', 'open')
      .execute()
    expect([quota?.open_uploads, quota?.reserved_bytes]).toEqual([open.length, 0])
  })

  it('a tail is gone: the client is told', async () => {
    const bytes = await videoOfSize(9 * MIB, 'tail')
    const id = await createId(landfall, 'alice', { size: bytes.length, ...AS_VIDEO })
    expect((await send(id, bytes, 0, 1 * MIB)).status).toBe(204)
    const [tail] = (await landfall.bucket.keys()).filter((key) => key.includes(`${id}.tail`))
    await landfall.bucket.client.send(new DeleteObjectCommand({ Bucket: landfall.bucket.name, Key: tail }))
    expect((await send(id, bytes, 1 * MIB)).status).toBe(410)
    expect((await head(landfall, 'alice', id)).headers.get('Upload-Reject-Reason')).toBe('bytes-lost')
  })

  it('the multipart upload is gone when it is to be completed: failed, never ready', async () => {
    const { id, key, multipartId } = await received('gone at the end')
    await landfall.bucket.client.send(
      new AbortMultipartUploadCommand({ Bucket: landfall.bucket.name, Key: key, UploadId: multipartId }),
    )
    await expectLost(id)
  })

  it('a part is another one than was acknowledged: failed, never ready', async () => {
    const { id, key, multipartId } = await received('replaced part')
    await landfall.bucket.client.send(
      new UploadPartCommand({
        Bucket: landfall.bucket.name,
        Key: key,
        UploadId: multipartId,
        PartNumber: 2,
        Body: Buffer.alloc(5 * MIB, 'x'),
      }),
    )
    await expectLost(id)
  })

  it('an object of one call is another one than was acknowledged, or gone: failed, never ready', async () => {
    for (const harm of ['replace', 'remove'] as const) {
      const bytes = await videoOfSize(200_000, harm)
      const id = await createId(landfall, 'alice', { size: bytes.length, body: bytes, ...AS_VIDEO })
      const target = { Bucket: landfall.bucket.name, Key: (await rowOf(id)).storage_key }
      const { client } = landfall.bucket
      if (harm === 'remove') await client.send(new DeleteObjectCommand(target))
      else await client.send(new PutObjectCommand({ ...target, Body: Buffer.alloc(bytes.length, 'x') }))
      await expectLost(id)
    }
  })

  it.each([
    ['is refused twice', 'refuse-500', 2],
    ['is done, but its reply is lost', 'reset-after', 1],
    ['is never heard of', 'reset-before', 1],
    ['is answered with half a reply', 'truncate', 1],
  ] as const)(
    'completion %s: it is found out what happened, and the file is right',
    async (how, what, times) => {
      const { id, bytes } = await received(how)
      const fault = landfall.proxy.fail({
        when: ({ operation }) => operation === 'CompleteMultipartUpload',
        what,
        times,
      })
      const media = await finished(id)
      fault.stop()
      expect(fault.hits).toBe(times)
      expect(media).toMatchObject({ status: 'ready', sha256: sha256Of(bytes) })
      expect(sha256Of((await content(media.id)).bytes)).toBe(sha256Of(bytes))
    },
  )

  it('an object that is replaced after it became ready is not served as the one that was checked', async () => {
    const { id, key } = await received('replaced object')
    const media = await finished(id)
    expect(media.status).toBe('ready')
    await landfall.bucket.client.send(
      new PutObjectCommand({ Bucket: landfall.bucket.name, Key: key, Body: Buffer.alloc(11 * MIB, 'x') }),
    )
    const served = await content(media.id)
    expect(served.status).toBe(503)
  })
})
