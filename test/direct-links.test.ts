import { readFile } from 'node:fs/promises'
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { jpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { type Bucket, freshBucket } from './support/bucket.ts'
import { beginBucketForm, bucketFormOf, postBucketForm } from './support/bucket-forms.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { type S3Landfall, sha256Of, startS3Landfall } from './support/s3-landfall.ts'
import type { FaultKind, FaultRule, S3Operation } from './support/s3-proxy.ts'
import { startServerProcess } from './support/server-process.ts'
import { outcome } from './support/uploads.ts'

const ceph = requires('ceph')
const ffmpeg = requires('ffmpeg')
const DIRECT = '/api/v1/direct-uploads'
const PROBE = '/probe-'

type As = ReturnType<Landfall['as']>

const post = (as: As, path: string, body: object = {}): Promise<Response> =>
  as(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  })
const begin = (as: As, size: number): Promise<Response> => post(as, DIRECT, { filename: 'a.jpg', size })

async function answer<T>(response: Response, status = 200): Promise<T> {
  const text = await response.text()
  expect(response.status, text).toBe(status)
  return JSON.parse(text) as T
}

/** Without a size, as Uppy asks for it. */
async function linkOf(as: As, size?: number): Promise<{ id: string; url: string }> {
  if (size === undefined) {
    const multipart = `${DIRECT}/s3/multipart`
    const { key: id } = await answer<{ key: string }>(await post(as, multipart, { filename: 'a.jpg' }))
    const { url } = await answer<{ url: string }>(await as(`${multipart}/${id}/1?key=${id}`))
    return { id, url }
  }
  const { id } = await answer<{ id: string }>(await begin(as, size), 201)
  const signed = await post(as, `${DIRECT}/${id}/parts`, { partNumbers: [1] })
  const [link] = (await answer<{ parts: { url: string }[] }>(signed)).parts
  if (!link) throw new Error('there is no link')
  return { id, url: link.url }
}

const isOff = async (response: Response): Promise<boolean> => {
  const { code, detail } = await answer<{ code: string; detail: string }>(response, 501)
  return code === 'direct-uploads-off' && detail.includes('docs/deployment.md')
}

describe.skipIf(!ceph.met || !ffmpeg.met)('a link to a part', () => {
  let landfall: S3Landfall
  let bytes: Buffer
  beforeAll(async () => {
    bytes = await readFile((await jpeg({ width: 640, height: 480 })).path)
    landfall = await startS3Landfall({ env: { SCAN: 'off' } })
  })
  afterAll(() => landfall?.close())

  /** Other nodes of the same Landfall, none of which has asked the bucket yet. */
  async function newNode(without: readonly string[] = []): Promise<Landfall> {
    const env = { ...landfall.bucket.env(landfall.proxy.url), SCAN: 'off', UPLOAD_MAX_OPEN: '100' }
    for (const name of without) delete (env as Record<string, string>)[name]
    const node = await startLandfall({ beside: landfall, withoutWorker: true, env })
    onTestFinished(() => node.close())
    return node
  }
  function failing(what: FaultKind, operation?: S3Operation) {
    const when: FaultRule['when'] = (call) =>
      call.key.includes(PROBE) && (operation === undefined || call.operation === operation)
    const fault = landfall.proxy.fail({ what, when } as FaultRule)
    onTestFinished(() => fault.stop())
    return fault
  }
  const probeCalls = () => landfall.proxy.calls.filter(({ key }) => key.includes(PROBE))
  const ofProbes = async () => [
    ...(await landfall.bucket.keys()).filter((key) => key.includes(PROBE)),
    ...(await landfall.bucket.openMultiparts()).filter(({ key }) => key.includes(PROBE)),
  ]

  it('copies nothing of others, of their forms or of another bucket', async () => {
    const { client, name } = landfall.bucket
    const victim = landfall.as('victim')
    const sent = await linkOf(victim, bytes.length)
    expect((await fetch(sent.url, { method: 'PUT', body: new Uint8Array(bytes) })).status).toBe(200)
    await answer(await post(victim, `${DIRECT}/${sent.id}/complete`))
    const form = await beginBucketForm(victim, 'filename=a.jpg')
    expect((await postBucketForm(form, bytes)).status).toBe(204)
    const posted = await outcome(landfall, 'victim', form.uploadId)
    // It lies there until a day after its link is over.
    expect((await postBucketForm(form, bytes)).status).toBe(204)
    const elsewhere = `${name}-elsewhere`
    await client.send(new CreateBucketCommand({ Bucket: elsewhere }))
    onTestFinished(async () => {
      await client.send(new DeleteObjectCommand({ Bucket: elsewhere, Key: 'dump' }))
      await client.send(new DeleteBucketCommand({ Bucket: elsewhere }))
    })
    await client.send(new PutObjectCommand({ Bucket: elsewhere, Key: 'dump', Body: bytes }))
    const keys = (await landfall.bucket.keys()).filter((key) =>
      [sent.id, form.uploadId].some((id) => key.includes(id)),
    )
    expect(keys).toEqual(
      expect.arrayContaining([expect.stringMatching(/\.form$/), expect.stringContaining(sent.id)]),
    )
    expect(posted.status).toBe('ready')

    for (const size of [undefined, bytes.length]) {
      const mallory = landfall.as('mallory')
      const { id, url } = await linkOf(mallory, size)
      for (const source of [...keys.map((key) => `${name}/${key}`), `${elsewhere}/dump`]) {
        const body = size === undefined ? {} : { body: new Uint8Array(bytes.length) }
        const headers = { 'x-amz-copy-source': source }
        const copied = await fetch(url, { method: 'PUT', headers, ...body })
        expect([copied.status, await copied.text()], source).toEqual([
          403,
          expect.stringContaining('AccessDenied'),
        ])
      }
      expect(await answer(await mallory(`${DIRECT}/${id}/parts`))).toEqual({ items: [] })
      // The link is good for what it is for.
      expect((await fetch(url, { method: 'PUT', body: new Uint8Array(bytes) })).status).toBe(200)
      await answer(await post(mallory, `${DIRECT}/${id}/complete`))
      expect(await outcome(landfall, 'mallory', id)).toMatchObject({
        status: 'ready',
        sha256: sha256Of(bytes),
      })
    }
  }, 60_000)

  it('nor does a form', async () => {
    const { client, name } = landfall.bucket
    await client.send(new PutObjectCommand({ Bucket: name, Key: 'secret', Body: 'of somebody else' }))
    const source = { 'x-amz-copy-source': `${name}/secret` }
    const form = await beginBucketForm(landfall.as('mallory'), 'filename=a.jpg')
    const byHeader = await fetch(form.url, {
      method: 'POST',
      headers: source,
      body: bucketFormOf(form, bytes),
    })
    const fields = { ...form.fields, ...source }
    const byField = await fetch(form.url, { method: 'POST', body: bucketFormOf({ fields }, bytes) })
    expect([byHeader.status, byField.status]).toEqual([204, 403])
    expect(await outcome(landfall, 'mallory', form.uploadId)).toMatchObject({ sha256: sha256Of(bytes) })
  }, 30_000)

  it('is probed once, before the first upload, for all who begin one', async () => {
    const node = await newNode()
    landfall.proxy.reset()
    const begun = await Promise.all(Array.from({ length: 8 }, () => begin(node.as('alice'), 2000)))
    expect(begun.map(({ status }) => status)).toEqual(begun.map(() => 201))
    const calls = probeCalls()
    const counted = Object.groupBy(calls, ({ operation }) => operation)
    expect(
      Object.fromEntries(Object.entries(counted).map(([operation, some]) => [operation, some.length])),
    ).toEqual({
      PutObject: 1,
      CreateMultipartUpload: 1,
      UploadPartCopy: 2,
      UploadPart: 2,
      AbortMultipartUpload: 1,
      DeleteObject: 1,
    })
    const last = Math.max(...calls.map((call) => call.endedAt ?? Number.POSITIVE_INFINITY))
    const opened = landfall.proxy.calls.filter(
      ({ operation, key }) => operation === 'CreateMultipartUpload' && !key.includes(PROBE),
    )
    expect(opened.length).toBe(8)
    for (const call of opened) expect(call.startedAt).toBeGreaterThan(last)
    expect((await begin(node.as('alice'), 2000)).status).toBe(201)
    expect(probeCalls().length).toBe(calls.length)
    expect(await ofProbes()).toEqual([])
  }, 30_000)

  it.each<[FaultKind, S3Operation | undefined]>([
    ['refuse-503', undefined],
    ['reset-before', undefined],
    ['reset-after', 'CreateMultipartUpload'],
    ['refuse-500', 'UploadPartCopy'],
    ['missing-404', 'UploadPartCopy'],
    ['nonsense-200', 'UploadPartCopy'],
    ['missing-404', 'UploadPart'],
  ])(
    'is given only after a clear answer (%s, %s)',
    async (what, operation) => {
      const node = await newNode()
      const fault = failing(what, operation)
      await answer(await begin(node.as('alice'), 2000), 503)
      expect(fault.hits).toBeGreaterThan(0)
      fault.stop()
      await answer(await begin(node.as('alice'), 2000), 201)
      if (operation !== undefined) expect(await ofProbes()).toEqual([])
    },
    40_000,
  )

  it('is not waited for when the bucket is silent', async () => {
    const node = await newNode()
    const fault = failing('stall', 'UploadPartCopy')
    const startedAt = performance.now()
    await answer(await begin(node.as('alice'), 2000), 503)
    expect(performance.now() - startedAt).toBeLessThan(30_000)
    expect(await ofProbes()).toEqual([])
    fault.stop()
    await answer(await begin(node.as('alice'), 2000), 201)
  }, 60_000)

  it('is probed without a rest, also where a process was killed in the middle', async () => {
    const { client, name } = landfall.bucket
    const Key = 'uploads/probe-of-a-killed-process'
    await client.send(new PutObjectCommand({ Bucket: name, Key, Body: 'a' }))
    await client.send(new CreateMultipartUploadCommand({ Bucket: name, Key }))
    expect(await ofProbes()).toHaveLength(2)
    await sql`insert into landfall.link_probes (storage_key, began_at) values (${Key}, now() - interval '2 minutes')`.execute(
      landfall.db,
    )
    // Every server looks for such a rest when it starts.
    await newNode()
    await expect.poll(ofProbes, { timeout: 20_000 }).toEqual([])
    const { rows } = await sql`select from landfall.link_probes where storage_key = ${Key}`.execute(
      landfall.db,
    )
    expect(rows).toEqual([])
  }, 40_000)

  it('is refused for an upload that a node with other settings has begun', async () => {
    const alice = landfall.as('alice')
    const { id } = await linkOf(alice, 2000)
    const node = await newNode(['S3_LINK_ACCESS_KEY_ID', 'S3_LINK_SECRET_ACCESS_KEY'])
    expect(await isOff(await post(node.as('alice'), `${DIRECT}/${id}/parts`, { partNumbers: [1] }))).toBe(
      true,
    )
    expect(await ofProbes()).toEqual([])
  }, 30_000)
})

describe.skipIf(!ceph.met)('where links would read what our credentials can', () => {
  let bucket: Bucket
  beforeAll(async () => {
    bucket = await freshBucket()
  })
  afterAll(() => bucket?.close())

  it('offers no direct uploads, says so once, and leaves nothing in the bucket', async () => {
    const env = {
      ...bucket.env(),
      S3_LINK_ACCESS_KEY_ID: '',
      S3_LINK_SECRET_ACCESS_KEY: '',
      SCAN: 'off',
      UPLOAD_MAX_OPEN: '100',
    }
    const server = await startServerProcess(env)
    onTestFinished(() => server.stop())
    const as = server.as('alice')
    expect(await isOff(await begin(as, 2000))).toBe(true)
    expect(await isOff(await post(as, `${DIRECT}/s3/multipart`, { filename: 'a.jpg' }))).toBe(true)
    expect(await isOff(await as(`${DIRECT}/s3/params?filename=a.jpg`))).toBe(true)
    expect([await bucket.keys(), await bucket.openMultiparts()]).toEqual([[], []])
    const lines = server
      .run()
      .stderr()
      .split('\n')
      .filter((line) => line.includes('x-amz-copy-source'))
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      expect.objectContaining({ level: 50, msg: expect.stringContaining('S3_LINK_SECRET_ACCESS_KEY') }),
    ])
    expect(await answer(await as('/api/v1/uploads'))).toMatchObject({ items: [] })
  }, 60_000)
})
