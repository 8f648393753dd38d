import { readFile } from 'node:fs/promises'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  ListPartsCommand,
} from '@aws-sdk/client-s3'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import type { UploadId } from '../ledger/ids.ts'
import { parseConfig } from '../server/config.ts'
import { storageOptionsOf } from '../server/storage-options.ts'
import { openStorage } from '../storage/storage.ts'
import { jpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { type Bucket, freshBucket } from './support/bucket.ts'
import { beginBucketForm, postBucketForm } from './support/bucket-forms.ts'
import { exampleWith, runExample } from './support/doc-examples.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { slowly } from './support/pauses.ts'
import { sha256Of, videoOfSize } from './support/s3-landfall.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { inTenant } from './support/tenant.ts'
import { patch } from './support/tus.ts'
import { outcome } from './support/uploads.ts'

const ceph = requires('ceph')
const ffmpeg = requires('ffmpeg')
const MIB = 1024 * 1024

type Direct = {
  id: string
  state: string
  partSize: number
  partCount: number
  expiresAt: string
  mediaId: string | null
}
type Link = { partNumber: number; size: number | null; method: string; url: string }
type Sent = { PartNumber: number; ETag: string }

describe.skipIf(!ceph.met || !ffmpeg.met)('a direct upload', () => {
  let bucket: Bucket
  let landfall: Landfall
  beforeAll(async () => {
    bucket = await freshBucket()
    landfall = await startLandfall({
      env: {
        ...bucket.env(),
        SCAN: 'off',
        AUTH_TENANT: 'optional',
        UPLOAD_MAX_OPEN: '100',
        UPLOAD_MAX_SIZE: '32MB',
        QUOTA_BYTES: '1GB',
      },
    })
  })
  afterAll(async () => {
    await landfall?.close()
    await bucket?.close()
  })

  type As = ReturnType<Landfall['as']>
  const alice: As = (path, init) => landfall.as('alice')(path, init)
  const sendJson = (as: As, path: string, body: unknown, method = 'POST') =>
    as(path, { method, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })
  async function answer<T>(response: Response, status = 200): Promise<T> {
    const text = await response.text()
    if (response.status !== status) throw new Error(`${response.status}: ${text}`)
    return JSON.parse(text) as T
  }
  const codeOf = async (response: Response) => [
    response.status,
    ((await response.json()) as { code: string }).code,
  ]
  const begin = async (body: object, as = alice) =>
    await answer<Direct>(await sendJson(as, '/api/v1/direct-uploads', body), 201)
  const sign = async ({ id }: { id: string }, partNumbers: number[], as = alice) =>
    (
      await answer<{ parts: Link[] }>(
        await sendJson(as, `/api/v1/direct-uploads/${id}/parts`, { partNumbers }),
      )
    ).parts
  const complete = ({ id }: { id: string }, as = alice) =>
    as(`/api/v1/direct-uploads/${id}/complete`, { method: 'POST' })
  const put = (url: string, body: Uint8Array) => fetch(url, { method: 'PUT', body: Buffer.from(body) })
  const partOf = (bytes: Buffer, { partSize }: Direct, number: number) =>
    bytes.subarray((number - 1) * partSize, number * partSize)
  async function sendAll(upload: Direct, bytes: Buffer, as = alice): Promise<void> {
    const numbers = Array.from({ length: upload.partCount }, (_, index) => index + 1)
    for (const { partNumber, url } of await sign(upload, numbers, as)) {
      const stored = await put(url, partOf(bytes, upload, partNumber))
      expect(stored.status, await stored.text()).toBe(200)
    }
  }
  const quotaOf = async (as: As) =>
    await answer<{ bytes: { reserved: number; used: number } }>(await as('/api/v1/quota'))
  const expectNothingLeft = async (id: string) => {
    const left = async () => [
      ...(await bucket.keys()).filter((key) => key.includes(id)),
      ...(await bucket.openMultiparts()).map(({ key }) => key).filter((key) => key.includes(id)),
    ]
    await expect.poll(left, { timeout: 20_000 }).toEqual([])
  }

  it('in parts becomes a media item with everything that was said of it', async () => {
    const bytes = await videoOfSize(12 * MIB + 345, 'direct')
    const upload = await begin({
      size: bytes.length,
      filename: 'Film.mp4',
      contentType: 'video/mp4',
      metadata: { order: '7 – ü' },
      attachedTo: { type: 'course', id: '7' },
      title: 'A film',
      captions: ['en'],
    })
    expect(upload).toMatchObject({ state: 'open', partSize: 5 * MIB, partCount: 3 })
    await sendAll(upload, bytes)
    const { items } = await answer<{ items: { partNumber: number; size: number }[] }>(
      await alice(`/api/v1/direct-uploads/${upload.id}/parts`),
    )
    expect(items.map(({ partNumber, size }) => [partNumber, size])).toEqual([
      [1, 5 * MIB],
      [2, 5 * MIB],
      [3, 2 * MIB + 345],
    ])
    const media = await answer<{ id: string; status: string }>(await complete(upload))
    const again = await answer<{ id: string }>(await complete(upload))
    expect(again.id).toBe(media.id)
    expect(await outcome(landfall, 'alice', upload.id)).toMatchObject({
      id: media.id,
      status: 'ready',
      sha256: sha256Of(bytes),
      filename: 'Film.mp4',
      metadata: { order: '7 – ü' },
      attachedTo: { type: 'course', id: '7' },
      title: 'A film',
      captions: ['en'],
    })
    expect((await bucket.openMultiparts()).filter(({ key }) => key.includes(upload.id))).toEqual([])
    const { rows } = await sql<{ type: string }>`
      select type from landfall.events where upload_id = ${upload.id} order by id`.execute(landfall.db)
    expect(rows.map(({ type }) => type)).toEqual(['upload.created', 'upload.received', 'media.ready'])
  })

  it('is what the example of the documents makes', async () => {
    const bytes = await videoOfSize(6 * MIB, 'example')
    const { uploadDirectly } = await runExample(
      exampleWith('docs/api.md', 'function uploadDirectly'),
      landfall.url,
    )
    const file = new File([new Uint8Array(bytes)], 'Film.mp4', { type: 'video/mp4' })
    const media = await uploadDirectly?.(file, { api: landfall.url, token: landfall.token('alice') })
    const { uploadId } = media as { uploadId: string }
    expect(await outcome(landfall, 'alice', uploadId)).toMatchObject({
      status: 'ready',
      sha256: sha256Of(bytes),
    })
  })

  it('gives links that take a part of its size only, and of its number', async () => {
    const upload = await begin({ size: 6 * MIB, filename: 'a.jpg' })
    const [first, last] = await sign(upload, [1, 2])
    expect([first?.size, last?.size]).toEqual([5 * MIB, MIB])
    expect((await put(last?.url ?? '', Buffer.alloc(MIB + 1))).status).toBe(403)
    expect((await put(last?.url ?? '', Buffer.alloc(0))).status).toBe(403)
    const path = `/api/v1/direct-uploads/${upload.id}/parts`
    expect(await codeOf(await sendJson(alice, path, { partNumbers: [3] }))).toEqual([409, 'parts-mismatch'])
    for (const partNumbers of [[], [0], [10_001], [1.5], Array(101).fill(1)])
      expect(await codeOf(await sendJson(alice, path, { partNumbers }))).toEqual([400, 'invalid-request'])
    expect((await alice(`/api/v1/direct-uploads/${upload.id}`, { method: 'DELETE' })).status).toBe(204)
    await expectNothingLeft(upload.id)
    expect((await put(first?.url ?? '', Buffer.alloc(5 * MIB))).status).toBe(404)
  })

  it('waits for its missing parts, and is complete when they are there', async () => {
    const bytes = asJpeg(Buffer.alloc(7 * MIB, 'x'))
    const upload = await begin({ size: bytes.length, filename: 'a.jpg' })
    expect(await codeOf(await complete(upload))).toEqual([409, 'parts-mismatch'])
    const [first, last] = await sign(upload, [1, 2])
    await put(first?.url ?? '', bytes.subarray(0, 5 * MIB))
    expect(await codeOf(await complete(upload))).toEqual([409, 'parts-mismatch'])
    await put(last?.url ?? '', bytes.subarray(5 * MIB))
    expect((await complete(upload)).status).toBe(200)
    // The links are still valid by their time, and of no use.
    expect((await put(first?.url ?? '', bytes.subarray(0, 5 * MIB))).status).toBe(404)
  })

  it('is refused by the hooks as any other', async () => {
    const refusals: [object, unknown[]][] = [
      [{ size: 33 * 1e6 + 5 * MIB }, [413, 'too-large']],
      [{ size: 1 }, [400, 'too-small']],
      [{ size: 2000, filename: 'a.exe' }, [415, 'type-not-allowed']],
      [{ size: 2000, metadata: { a: 'x'.repeat(100_000) } }, [400, 'invalid-request']],
      [{}, [400, 'invalid-request']],
      [{ size: -1 }, [400, 'invalid-request']],
      [{ size: 2000, other: 1 }, [400, 'invalid-request']],
    ]
    for (const [body, refusal] of refusals)
      expect(await codeOf(await sendJson(alice, '/api/v1/direct-uploads', body))).toEqual(refusal)
  })

  it('is rejected by its first bytes at completion, and leaves nothing', async () => {
    const carol: As = (path, init) => landfall.as('carol')(path, init)
    const upload = await begin({ size: 2000, filename: 'a.jpg' }, carol)
    expect((await quotaOf(carol)).bytes).toMatchObject({ reserved: 2000, used: 0 })
    await sendAll(upload, Buffer.from(`#!/bin/sh\n${'x'.repeat(1990)}`), carol)
    expect(await codeOf(await complete(upload, carol))).toEqual([415, 'type-not-allowed'])
    expect(await codeOf(await complete(upload, carol))).toEqual([410, 'upload-rejected'])
    await expectNothingLeft(upload.id)
    expect((await quotaOf(carol)).bytes).toMatchObject({ reserved: 0, used: 0 })
  })

  it('takes no bytes at /files, and one of /files is none', async () => {
    const upload = await begin({ size: 2000, filename: 'a.jpg' })
    const sent = await patch(landfall, 'alice', upload.id, { offset: 0, body: Buffer.alloc(2000) })
    expect(sent.status).toBe(403)
    const created = await alice('/files', {
      method: 'POST',
      headers: { 'Tus-Resumable': '1.0.0', 'Upload-Length': '2000' },
    })
    const other = created.headers.get('Location')?.split('/').at(-1) ?? ''
    const { items } = await answer<{ items: { id: string; isDirect: boolean }[] }>(
      await alice('/api/v1/uploads?limit=100'),
    )
    const isDirect = new Map(items.map((item) => [item.id, item.isDirect]))
    expect([isDirect.get(upload.id), isDirect.get(other)]).toEqual([true, false])
    expect((await alice(`/api/v1/direct-uploads/${other}`)).status).toBe(404)
    expect((await complete({ id: other })).status).toBe(404)
    const bob: As = (path, init) => landfall.as('bob')(path, init)
    expect((await complete(upload, bob)).status).toBe(404)
    expect(
      (await sendJson(bob, `/api/v1/direct-uploads/${upload.id}/parts`, { partNumbers: [1] })).status,
    ).toBe(404)
    expect((await bob(`/api/v1/direct-uploads/${upload.id}`, { method: 'DELETE' })).status).toBe(404)
    expect((await alice(`/api/v1/direct-uploads/${upload.id}`, { method: 'DELETE' })).status).toBe(204)
  })

  it('is completed once by two at the same time', async () => {
    const bytes = asJpeg(Buffer.alloc(2000, 'x'))
    const upload = await begin({ size: 2000, filename: 'a.jpg' })
    await sendAll(upload, bytes)
    const both = await Promise.all([complete(upload), complete(upload)])
    const bodies = await Promise.all(both.map((one) => answer<{ id: string }>(one)))
    expect(new Set(bodies.map(({ id }) => id)).size).toBe(1)
    const { rows } = await sql`select 1 from landfall.media where upload_id = ${upload.id}`.execute(
      landfall.db,
    )
    expect(rows).toHaveLength(1)
  })

  it('goes on after a completion that was interrupted behind the bucket', async () => {
    const bytes = asJpeg(Buffer.alloc(2000, 'x'))
    const upload = await begin({ size: 2000, filename: 'a.jpg' })
    await sendAll(upload, bytes)
    // What a server leaves that was killed before it told the ledger.
    const { rows } = await sql<{ key: string; multipart: string }>`
      select storage_key as key, multipart_id as multipart from landfall.uploads where id = ${upload.id}`.execute(
      landfall.db,
    )
    const [{ key, multipart } = { key: '', multipart: '' }] = rows
    const at = { Bucket: bucket.name, Key: key, UploadId: multipart }
    const { Parts } = await bucket.client.send(new ListPartsCommand(at))
    await bucket.client.send(
      new CompleteMultipartUploadCommand({
        ...at,
        MultipartUpload: { Parts: Parts?.map(({ PartNumber, ETag }) => ({ PartNumber, ETag })) },
      }),
    )
    expect((await complete(upload)).status).toBe(200)
  })

  it('whose parts the bucket has lost is rejected, and says so', async () => {
    const upload = await begin({ size: 2000, filename: 'a.jpg' })
    for (const { key, uploadId } of await bucket.openMultiparts()) {
      if (!key.includes(upload.id)) continue
      await bucket.client.send(
        new AbortMultipartUploadCommand({ Bucket: bucket.name, Key: key, UploadId: uploadId }),
      )
    }
    expect(await codeOf(await complete(upload))).toEqual([410, 'upload-rejected'])
  })

  it('extends its time with every link, and is idle for no new upload of its owner while one is valid', async () => {
    const upload = await begin({ size: 2000, filename: 'a.jpg' })
    await sql`update landfall.uploads set expires_at = now() + interval '1 minute', updated_at = now() - interval '20 minutes'
               where id = ${upload.id}`.execute(landfall.db)
    await sign(upload, [1])
    const { expiresAt } = await answer<Direct>(await alice(`/api/v1/direct-uploads/${upload.id}`))
    expect(Date.parse(expiresAt)).toBeGreaterThan(Date.now() + 3600_000)
  })

  describe('as @uppy/aws-s3 asks for it', () => {
    const COMPANION = '/api/v1/direct-uploads'
    async function ticket(body: object = {}): Promise<string> {
      const issued = await sendJson(inTenant(landfall, null, 'service').as('backend'), '/api/v1/tickets', {
        owner: 'alice',
        ...body,
      })
      return (await answer<{ token: string }>(issued, 201)).token
    }
    /** Without any header, as Uppy asks. */
    const bearing =
      (token: string): As =>
      (path, init) =>
        fetch(landfall.url + path.replace(COMPANION, `${COMPANION}/tickets/${token}`), init)
    const open = async (as: As, body: object = { filename: 'a.jpg', type: 'image/jpeg' }) =>
      await answer<{ key: string; uploadId: string }>(await sendJson(as, `${COMPANION}/s3/multipart`, body))
    const send = async (as: As, id: string, number: number, bytes: Uint8Array): Promise<Sent> => {
      const { url } = await answer<{ url: string }>(
        await as(`${COMPANION}/s3/multipart/${id}/${number}?key=${id}`),
      )
      const stored = await put(url, bytes)
      expect(stored.status, await stored.text()).toBe(200)
      return { PartNumber: number, ETag: (stored.headers.get('etag') ?? '').replaceAll('"', '') }
    }
    const finish = (as: As, id: string, parts: Sent[]) =>
      sendJson(as, `${COMPANION}/s3/multipart/${id}/complete?key=${id}`, { parts })

    it('is sent in parts by a ticket in the address alone', async () => {
      const as = bearing(await ticket({ metadata: { course: '7' } }))
      const bytes = await videoOfSize(11 * MIB, 'companion')
      const { key, uploadId } = await open(as, {
        filename: 'Film.mp4',
        type: 'video/mp4',
        metadata: { name: 'Film.mp4', type: 'video/mp4', row: 3, note: null },
      })
      expect(key).toBe(uploadId)
      const parts = [await send(as, key, 1, bytes.subarray(0, 6 * MIB))]
      const listed = await answer<{ PartNumber: number; Size: number }[]>(
        await as(`${COMPANION}/s3/multipart/${key}?key=${key}`),
      )
      expect(listed).toMatchObject([{ PartNumber: 1, Size: 6 * MIB }])
      parts.push(await send(as, key, 2, bytes.subarray(6 * MIB)))
      const done = await answer<{ location: string; mediaId: string }>(await finish(as, key, parts))
      expect(done.location).toContain(`/api/v1/media/${done.mediaId}`)
      expect(await outcome(landfall, 'alice', key)).toMatchObject({
        status: 'ready',
        sha256: sha256Of(bytes),
        filename: 'Film.mp4',
        metadata: { course: '7', row: '3', note: null },
      })
      // Once for each ticket; and what is complete is not ended by it.
      expect(await codeOf(await sendJson(as, `${COMPANION}/s3/multipart`, { filename: 'a.jpg' }))).toEqual([
        403,
        'ticket-used',
      ])
      expect((await as(`${COMPANION}/s3/multipart/${key}?key=${key}`, { method: 'DELETE' })).status).toBe(403)
    })

    it('names parts that the bucket does not have', async () => {
      const { key } = await open(alice)
      const sent = await send(alice, key, 1, asJpeg(Buffer.alloc(5 * MIB)))
      const refused = await finish(alice, key, [sent, { PartNumber: 2, ETag: 'abc' }])
      expect(await answer(refused, 409)).toMatchObject({ code: 'parts-mismatch', partNumbers: [2] })
      for (const parts of [[], [sent, sent], 'no', [{ PartNumber: 0, ETag: 'a' }]])
        expect((await finish(alice, key, parts as Sent[])).status).toBe(400)
      expect((await finish(alice, key, [sent])).status).toBe(200)
    })

    it('takes no more parts than the largest file has, and ends where there are more bytes', async () => {
      const { key } = await open(alice)
      const path = (number: number) => `${COMPANION}/s3/multipart/${key}/${number}?key=${key}`
      expect(await codeOf(await alice(path(8)))).toEqual([409, 'parts-mismatch'])
      expect((await alice(path(10_001))).status).toBe(404)
      const batch = await answer<{ presignedUrls: Record<string, string> }>(
        await alice(`${COMPANION}/s3/multipart/${key}/batch?key=${key}&partNumbers=1,2`),
      )
      for (const url of Object.values(batch.presignedUrls)) await put(url, asJpeg(Buffer.alloc(20 * MIB)))
      // Nobody completes it: the bucket is asked.
      await sql`update landfall.direct_uploads set look_at = now() where upload_id = ${key}`.execute(
        landfall.db,
      )
      await open(alice)
      const reasonOf = async () =>
        ((await (await alice(`/api/v1/uploads/${key}`)).json()) as { reason: { code: string } | null }).reason
      await expect.poll(reasonOf, { timeout: 20_000 }).toMatchObject({ code: 'length-exceeded' })
      await expectNothingLeft(key)
    })

    it('is rejected where its parts are more than the largest file', async () => {
      const { key } = await open(alice)
      const parts = [
        await send(alice, key, 1, asJpeg(Buffer.alloc(20 * MIB))),
        await send(alice, key, 2, Buffer.alloc(20 * MIB)),
      ]
      expect(await codeOf(await finish(alice, key, parts))).toEqual([422, 'content-rejected'])
      await expectNothingLeft(key)
    })

    it('is ended by Uppy', async () => {
      const { key } = await open(alice)
      await send(alice, key, 1, asJpeg(Buffer.alloc(5 * MIB)))
      const ended = await alice(`${COMPANION}/s3/multipart/${key}?key=${key}`, { method: 'DELETE' })
      expect(await answer(ended)).toEqual({})
      await expectNothingLeft(key)
    })

    it('is sent by a form, and complete without a word to us', async () => {
      const { path } = await jpeg({ width: 640, height: 480 })
      const bytes = await readFile(path)
      const as = bearing(await ticket())
      const form = await beginBucketForm(
        as,
        'filename=Bild.jpg&type=image/jpeg&metadata[row]=3&metadata[name]=Bild.jpg',
      )
      expect(form.method).toBe('POST')
      const stored = await postBucketForm(form, bytes)
      expect(stored.status, await stored.text()).toBe(204)
      expect(await outcome(landfall, 'alice', form.uploadId)).toMatchObject({
        status: 'ready',
        filename: 'Bild.jpg',
        metadata: { row: '3' },
        sha256: sha256Of(bytes),
      })
      // The form is still valid by its time: what it puts now is another object.
      expect((await postBucketForm(form, asJpeg(Buffer.alloc(2000)))).status).toBe(204)
      const media = await outcome(landfall, 'alice', form.uploadId)
      const content = await alice(`/api/v1/media/${media.id}/content`)
      expect(sha256Of(new Uint8Array(await content.arrayBuffer()))).toBe(sha256Of(bytes))
    })

    it('is found in the bucket also while others begin all the time', async () => {
      const form = await beginBucketForm(alice, 'filename=a.jpg')
      await postBucketForm(form, asJpeg(Buffer.alloc(2000)))
      const stateOf = async () =>
        ((await (await alice(`/api/v1/uploads/${form.uploadId}`)).json()) as { state: string }).state
      for (let tries = 0; tries < 40 && (await stateOf()) === 'open'; tries++) {
        const { key } = await open(alice)
        await slowly(250)
        await alice(`${COMPANION}/s3/multipart/${key}?key=${key}`, { method: 'DELETE' })
      }
      // It is no picture, and may be rejected by now.
      expect(await stateOf()).not.toBe('open')
    })

    it('by a form of more bytes than are accepted is refused by the bucket', async () => {
      const form = await beginBucketForm(alice, 'filename=a.jpg&type=image/jpeg')
      expect((await postBucketForm(form, asJpeg(Buffer.alloc(33 * MIB)))).status).toBe(400)
      expect(
        (await postBucketForm({ ...form, fields: { ...form.fields, key: 'other' } }, Buffer.alloc(9))).status,
      ).toBe(403)
    })

    it('leaves nothing of a form that was used after its upload ended', async () => {
      const form = await beginBucketForm(alice, 'filename=a.jpg')
      await alice(`/api/v1/direct-uploads/${form.uploadId}`, { method: 'DELETE' })
      await postBucketForm(form, asJpeg(Buffer.alloc(2000)))
      const due = await sql<{ late: Date }>`
        select late_until as late from landfall.upload_tails
         where upload_id = ${form.uploadId} and late_until is not null`.execute(landfall.db)
      expect(due.rows[0]?.late.getTime()).toBeGreaterThan(Date.now() + 24 * 3600_000)
      await sql`update landfall.upload_tails set late_until = now() - interval '1 second',
                       dropped_at = now() - interval '1 hour' where upload_id = ${form.uploadId}`.execute(
        landfall.db,
      )
      const settings = parseConfig(bucket.env(), { auth: false })
      const storage = await openStorage(storageOptionsOf(settings), landfall.db)
      onTestFinished(() => storage.close())
      await storage.bytes.sweep(form.uploadId as UploadId)
      await expectNothingLeft(form.uploadId)
    })

    it('begins by GET alone', async () => {
      const asked = await alice(`${COMPANION}/s3/params?filename=head.jpg`, { method: 'HEAD' })
      expect([asked.status, asked.headers.get('Allow')]).toEqual([405, 'GET, OPTIONS'])
      const preflight = await alice(`${COMPANION}/s3/params`, { method: 'OPTIONS' })
      expect(preflight.headers.get('Allow')).toBe('GET, OPTIONS')
      const begun = await sql`select from landfall.uploads where filename = 'head.jpg'`.execute(landfall.db)
      expect(begun.rows).toEqual([])
    })

    it('refuses parameters that it does not know', async () => {
      for (const query of ['filenam=a', 'metadata=a', 'metadata[a]=1&metadata[a]=2', 'filename=a&filename=b'])
        expect((await alice(`${COMPANION}/s3/params?${query}`)).status).toBe(400)
    })
  })

  it('is not offered without a bucket', async () => {
    const onDisk = await startLandfall({ withoutWorker: true })
    const as: As = onDisk.as('alice')
    const { code, detail } = await answer<{ code: string; detail: string }>(
      await sendJson(as, '/api/v1/direct-uploads', { size: 2000 }),
      501,
    )
    expect([code, detail]).toEqual(['direct-uploads-off', expect.stringContaining('/files')])
    const s3 = '/api/v1/direct-uploads/s3'
    expect(await codeOf(await sendJson(as, `${s3}/multipart`, {}))).toEqual([501, 'direct-uploads-off'])
    expect(await codeOf(await as(`${s3}/params`))).toEqual([501, 'direct-uploads-off'])
    await onDisk.close()
  })
})
