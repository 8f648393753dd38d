import { readFile } from 'node:fs/promises'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { dueLooks } from '../ledger/direct-uploads.ts'
import type { UploadId } from '../ledger/ids.ts'
import { parseConfig } from '../server/config.ts'
import { storageOptionsOf } from '../server/storage-options.ts'
import { partSizeOf } from '../server/uploads/direct/direct-uploads.ts'
import { openStorage } from '../storage/storage.ts'
import { jpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { type BucketForm, beginBucketForm, postBucketForm } from './support/bucket-forms.ts'
import { type S3Landfall, startS3Landfall } from './support/s3-landfall.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { inTenant } from './support/tenant.ts'
import { outcome } from './support/uploads.ts'

const ceph = requires('ceph')
const ffmpeg = requires('ffmpeg')
const MIB = 1024 * 1024
const DIRECT = '/api/v1/direct-uploads'
const PATIENTLY = { timeout: 30_000, interval: 100 }

type As = ReturnType<S3Landfall['as']>

describe.skipIf(!ceph.met || !ffmpeg.met)('direct uploads take no more than their share', () => {
  let landfall: S3Landfall
  beforeAll(async () => {
    landfall = inTenant(
      await startS3Landfall({
        env: {
          SCAN: 'off',
          AUTH_TENANT: 'optional',
          UPLOAD_MAX_SIZE: '20MB',
          QUOTA_BYTES: '100MB',
          UPLOAD_MAX_OPEN: '1000',
        },
      }),
      null,
    )
  })
  afterAll(async () => {
    await landfall?.close()
  })

  const asJson = (body: object): RequestInit => ({
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  })
  async function ticketed(owner: string, body: object): Promise<As> {
    const app = inTenant(landfall, null, 'service').as('app')
    const issued = await app('/api/v1/tickets', asJson({ owner, ...body }))
    const { token } = (await issued.json()) as { token: string }
    return (path, init) =>
      fetch(landfall.url + path, { ...init, headers: { ...init?.headers, Authorization: `Bearer ${token}` } })
  }
  const codeOf = async (response: Response) => [
    response.status,
    ((await response.json()) as { code: string }).code,
  ]
  const picture = async () => await readFile((await jpeg({ width: 640, height: 480 })).path)

  it('of the quota, which the forms of ended uploads still hold', async () => {
    const alice = landfall.as('alice')
    for (let count = 0; count < 5; count++) {
      const { uploadId } = await beginBucketForm(alice, 'filename=a.jpg')
      expect((await alice(`${DIRECT}/${uploadId}`, { method: 'DELETE' })).status).toBe(204)
    }
    expect(await codeOf(await alice(`${DIRECT}/s3/params?filename=a.jpg`))).toEqual([
      413,
      'quota-bytes-exceeded',
    ])
    // Other ways bring no more than they hold.
    expect((await alice(DIRECT, asJson({ size: 1000, filename: 'a.jpg' }))).status).toBe(201)
    const { rows } =
      await sql`select from landfall.uploads where owner_id = 'alice' and state = 'open'`.execute(landfall.db)
    expect(rows).toHaveLength(1)
    await sql`update landfall.upload_tails set late_until = late_until - interval '61 minutes'`.execute(
      landfall.db,
    )
    await beginBucketForm(alice, 'filename=a.jpg')
  })

  it('of a ticket, whose place a form keeps that ended', async () => {
    const as = await ticketed('bob', { count: 1, maxSize: 10_000_000 })
    const { uploadId } = await beginBucketForm(as, 'filename=a.jpg')
    expect((await as(`${DIRECT}/${uploadId}`, { method: 'DELETE' })).status).toBe(204)
    expect(await codeOf(await as(`${DIRECT}/s3/params?filename=a.jpg`))).toEqual([403, 'ticket-used'])
  })

  it('of the bucket: what the form of an ended upload brings is removed as often as it comes', async () => {
    const carol = landfall.as('carol')
    const form = await beginBucketForm(carol, 'filename=a.jpg')
    await carol(`${DIRECT}/${form.uploadId}`, { method: 'DELETE' })
    const storage = await openStorage(
      storageOptionsOf(parseConfig(landfall.bucket.env(), { auth: false })),
      landfall.db,
    )
    onTestFinished(() => storage.close())
    const keys = async () => (await landfall.bucket.keys()).filter((key) => key.includes(form.uploadId))
    for (let round = 0; round < 3; round++) {
      // The removal of the upload itself comes first.
      await expect
        .poll(async () => {
          const { rows } =
            await sql`update landfall.upload_tails set dropped_at = now() - interval '16 minutes'
            where upload_id = ${form.uploadId} and dropped_at is not null and late_until is not null
            returning 1`.execute(landfall.db)
          return rows.length
        }, PATIENTLY)
        .toBe(1)
      expect((await postBucketForm(form, asJpeg(Buffer.alloc(2000)))).status).toBe(204)
      expect(await keys()).toHaveLength(1)
      await storage.bytes.sweep(form.uploadId as UploadId)
      expect(await keys()).toEqual([])
    }
    await sql`update landfall.upload_tails set late_until = now() where upload_id = ${form.uploadId}`.execute(
      landfall.db,
    )
    await storage.bytes.sweep(form.uploadId as UploadId)
    const { rows } = await sql`select from landfall.upload_tails
      where upload_id = ${form.uploadId} and late_until is not null`.execute(landfall.db)
    expect(rows).toEqual([])
  })

  it('of the looks: each owner is as likely as another, however many uploads it has', async () => {
    const dave = landfall.as('dave')
    const erin = landfall.as('erin')
    for (let count = 0; count < 60; count++) await dave(DIRECT, asJson({ size: 1000, filename: 'a.jpg' }))
    const begun = await erin(DIRECT, asJson({ size: 1000, filename: 'a.jpg' }))
    const { id } = (await begun.json()) as { id: string }
    let draws = 0
    let isFound = false
    for (; !isFound && draws < 40; draws++) {
      await sql`update landfall.direct_uploads set look_at = now() - interval '1 hour'`.execute(landfall.db)
      await sql`update landfall.direct_uploads set look_at = now() where upload_id = ${id}`.execute(
        landfall.db,
      )
      const due = await dueLooks(landfall.db, 1, [])
      expect(due.length).toBeLessThanOrEqual(1)
      isFound = due[0]?.id === id
    }
    expect(isFound).toBe(true)
  }, 60_000)

  it('of the looks, also where a server of an earlier release has begun it', async () => {
    const helen = landfall.as('helen')
    const form = await beginBucketForm(helen, 'filename=a.jpg')
    await sql`update landfall.direct_uploads set owner_id = null, links_until = null, look_at = now()
               where upload_id = ${form.uploadId}`.execute(landfall.db)
    expect((await postBucketForm(form, await picture())).status).toBe(204)
    expect(await outcome(landfall, 'helen', form.uploadId)).toMatchObject({ status: 'ready' })
  }, 60_000)

  it('of time: forms of one owner that came in time are all complete, though copies take long', async () => {
    const as = await ticketed('frank', { count: 8, uploadWithinSeconds: 24, maxSize: 1_000_000 })
    const slow = landfall.proxy.fail({
      what: 'delay',
      delayMs: 2500,
      when: ({ operation }) => operation === 'CopyObject',
    })
    onTestFinished(() => slow.stop())
    const bytes = await picture()
    const forms: BucketForm[] = []
    for (let count = 0; count < 8; count++) forms.push(await beginBucketForm(as, 'filename=a.jpg'))
    for (const form of forms) expect((await postBucketForm(form, bytes)).status).toBe(204)
    const media = await Promise.all(forms.map(({ uploadId }) => outcome(landfall, 'frank', uploadId)))
    expect(media.map(({ status }) => status)).toEqual(Array(8).fill('ready'))
  }, 120_000)

  it('of what is called a file: none with a gap', async () => {
    const grace = landfall.as('grace')
    const begun = await grace(`${DIRECT}/s3/multipart`, asJson({ filename: 'a.jpg', type: 'image/jpeg' }))
    const { key } = (await begun.json()) as { key: string }
    const send = async (number: number) => {
      const signed = await grace(`${DIRECT}/s3/multipart/${key}/${number}?key=${key}`)
      const { url } = (await signed.json()) as { url: string }
      const body = new Uint8Array(asJpeg(Buffer.alloc(5 * MIB)))
      expect((await fetch(url, { method: 'PUT', body })).status).toBe(200)
    }
    await send(1)
    await send(3)
    const answer = await grace(`${DIRECT}/${key}/complete`, { method: 'POST' })
    expect(answer.status).toBe(409)
    expect(await answer.json()).toMatchObject({ code: 'parts-mismatch', partNumbers: [2] })
    await send(2)
    expect((await grace(`${DIRECT}/${key}/complete`, { method: 'POST' })).status).not.toBe(409)
  })
})

describe('the size of parts', () => {
  it.each([1, 5 * MIB, 6 * 1024 ** 3, 5 * 1024 ** 4])(
    'is one that S3 takes, for a file of %i bytes',
    (size) => {
      const part = partSizeOf(size)
      expect(part).toBeGreaterThanOrEqual(5 * MIB)
      expect(part).toBeLessThanOrEqual(5 * 1024 ** 3)
      expect(Math.ceil(size / part)).toBeLessThanOrEqual(10_000)
    },
  )
})
