import { readFile } from 'node:fs/promises'
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import type { UploadId } from '../ledger/ids.ts'
import { parseConfig } from '../server/config.ts'
import { storageOptionsOf } from '../server/storage-options.ts'
import { openStorage } from '../storage/storage.ts'
import { jpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { beginBucketForm, postBucketForm } from './support/bucket-forms.ts'
import { slowly } from './support/pauses.ts'
import { type S3Landfall, sha256Of, startS3Landfall, videoOfSize } from './support/s3-landfall.ts'
import type { Fault, FaultKind, S3Call, S3Operation } from './support/s3-proxy.ts'
import { inTenant } from './support/tenant.ts'
import { outcome } from './support/uploads.ts'

const ceph = requires('ceph')
const ffmpeg = requires('ffmpeg')
const MIB = 1024 * 1024
const DIRECT = '/api/v1/direct-uploads'
const PATIENTLY = { timeout: 30_000, interval: 100 }

const pictureOf = async (width: number): Promise<Buffer> =>
  await readFile((await jpeg({ width, height: 480 })).path)

type As = ReturnType<S3Landfall['as']>

const asJson = (body: object): RequestInit => ({
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(body),
})

async function answer<T>(response: Response, status = 200): Promise<T> {
  const text = await response.text()
  if (response.status !== status) throw new Error(`${response.status}: ${text}`)
  return JSON.parse(text) as T
}

/** Begins an upload in one part, and stores that. Returns its id. */
async function sendPart(as: As, bytes: Buffer): Promise<string> {
  const begun = await as(DIRECT, asJson({ size: bytes.length, filename: 'a.jpg' }))
  const { id } = await answer<{ id: string }>(begun, 201)
  const signed = await as(`${DIRECT}/${id}/parts`, asJson({ partNumbers: [1] }))
  const { parts } = await answer<{ parts: { url: string }[] }>(signed)
  const stored = await fetch(String(parts[0]?.url), { method: 'PUT', body: new Uint8Array(bytes) })
  expect(stored.status, await stored.text()).toBe(200)
  return id
}

const complete = (as: As, id: string) => as(`${DIRECT}/${id}/complete`, { method: 'POST' })
const stateOf = async (as: As, id: string) =>
  (await answer<{ state: string }>(await as(`/api/v1/uploads/${id}`))).state

describe.skipIf(!ceph.met || !ffmpeg.met)('a direct upload, with a bucket that fails,', () => {
  let landfall: S3Landfall
  let alice: As
  beforeAll(async () => {
    landfall = await startS3Landfall({
      env: { SCAN: 'off', UPLOAD_MAX_SIZE: '200MB', UPLOAD_MIN_SIZE: '1KB', QUOTA_BYTES: '100GB' },
    })
    alice = landfall.as('alice')
  })
  afterAll(async () => {
    await landfall?.close()
  })

  /** A fault for calls about one upload. */
  function failing(what: FaultKind, operation: S3Operation, id: string, times?: number) {
    const when = (call: S3Call) => call.operation === operation && call.key.includes(id)
    const fault = landfall.proxy.fail({ what, when, ...(times === undefined ? {} : { times }) } as Fault & {
      when: typeof when
    })
    onTestFinished(() => fault.stop())
    return fault
  }
  const callsOf = (operation: S3Operation, id: string) =>
    landfall.proxy.calls.filter((call) => call.operation === operation && call.key.includes(id))
  const keysOf = async (id: string) => (await landfall.bucket.keys()).filter((key) => key.includes(id))
  async function storedSha(id: string): Promise<string> {
    const { rows } = await sql<{ key: string }>`
      select storage_key as key from landfall.uploads where id = ${id}`.execute(landfall.db)
    const { client, name } = landfall.bucket
    const { Body } = await client.send(new GetObjectCommand({ Bucket: name, Key: rows[0]?.key ?? '' }))
    return sha256Of((await Body?.transformToByteArray()) ?? new Uint8Array())
  }

  it('is replaced by no copy that comes late, and leaves nothing of it', async () => {
    const [first, second] = await Promise.all([pictureOf(640), pictureOf(320)])
    const form = await beginBucketForm(alice, 'filename=a.jpg')
    const id = form.uploadId
    const late = failing('late', 'CopyObject', id, 1)
    expect((await postBucketForm(form, first)).status).toBe(204)
    await expect.poll(() => late.hits, PATIENTLY).toBe(1)
    // Before the call is repeated, and so that the late one finds what it was to copy.
    expect((await postBucketForm(form, second)).status).toBe(204)
    const media = await outcome(landfall, 'alice', id)
    expect(media).toMatchObject({ status: 'ready', sha256: sha256Of(second) })
    expect((await postBucketForm(form, first)).status).toBe(204)
    late.stop()
    const [copy] = callsOf('CopyObject', id)
    await expect.poll(() => copy?.status, PATIENTLY).toBe(200)

    expect(await storedSha(id)).toBe(sha256Of(second))
    const served = await alice(`/api/v1/media/${media.id}/content`)
    expect(sha256Of(new Uint8Array(await served.arrayBuffer()))).toBe(sha256Of(second))
    await sql`update landfall.upload_tails set dropped_at = now() - interval '1 hour', late_until = null
               where upload_id = ${id}`.execute(landfall.db)
    const storage = await openStorage(
      storageOptionsOf(parseConfig(landfall.bucket.env(), { auth: false })),
      landfall.db,
    )
    onTestFinished(() => storage.close())
    await storage.bytes.sweep(id as UploadId)
    expect((await keysOf(id)).filter((key) => key.includes('.form') || key === copy?.key)).toEqual([])
    expect(await storedSha(id)).toBe(sha256Of(second))
  }, 120_000)

  it('is copied by parts where one call would take long', async () => {
    const form = await beginBucketForm(alice, 'filename=a.mp4')
    const bytes = await videoOfSize(150 * MIB, 'long')
    expect((await postBucketForm(form, bytes)).status).toBe(204)
    expect(await outcome(landfall, 'alice', form.uploadId)).toMatchObject({
      status: 'ready',
      sha256: sha256Of(bytes),
    })
    expect(callsOf('CopyObject', form.uploadId)).toEqual([])
    expect(callsOf('UploadPartCopy', form.uploadId).length).toBeGreaterThan(1)
  }, 120_000)

  // Each at the first call and all of its repetitions, as a proxy has it that restarts.
  const EACH: [FaultKind, S3Operation, number][] = [
    ['missing-404', 'HeadObject', 1],
    ['missing-404', 'HeadObject', 2],
    ['missing-404', 'ListParts', 1],
    ['missing-404', 'CompleteMultipartUpload', 1],
    ['missing-404', 'GetObject', 1],
    ['nonsense-200', 'HeadObject', 5],
    ['nonsense-200', 'ListParts', 5],
    ['nonsense-200', 'CompleteMultipartUpload', 1],
    ['nonsense-200', 'GetObject', 5],
    ['refuse-503', 'ListParts', 5],
    ['refuse-500', 'CompleteMultipartUpload', 5],
    ['refuse-503', 'HeadObject', 5],
    ['reset-after', 'CompleteMultipartUpload', 5],
  ]
  it.each(EACH)(
    'of parts is complete after %s of %s (%i)',
    async (what, operation, times) => {
      const bytes = await pictureOf(640)
      const id = await sendPart(alice, bytes)
      const fault = failing(what, operation, id, times)
      const first = await complete(alice, id)
      expect(fault.hits).toBeGreaterThan(0)
      // What the bucket has done although it was not heard may be found at once.
      if (!first.ok) expect([first.status, first.headers.has('Retry-After')]).toEqual([503, true])
      fault.stop()
      await answer(await complete(alice, id))
      expect(await outcome(landfall, 'alice', id)).toMatchObject({ status: 'ready', sha256: sha256Of(bytes) })
    },
    60_000,
  )

  const OF_FORMS: [FaultKind, S3Operation, number][] = [
    ['missing-404', 'HeadObject', 3],
    ['missing-404', 'GetObject', 3],
    ['missing-404', 'CopyObject', 2],
    ['nonsense-200', 'HeadObject', 5],
    ['nonsense-200', 'CopyObject', 2],
    ['nonsense-200', 'GetObject', 5],
    ['refuse-503', 'CopyObject', 5],
    ['reset-after', 'CopyObject', 5],
  ]
  it.each(OF_FORMS)(
    'by a form is complete after %s of %s (%i)',
    async (what, operation, times) => {
      const bytes = await pictureOf(640)
      const form = await beginBucketForm(alice, 'filename=a.jpg')
      const fault = failing(what, operation, form.uploadId, times)
      expect((await postBucketForm(form, bytes)).status).toBe(204)
      expect(await outcome(landfall, 'alice', form.uploadId)).toMatchObject({
        status: 'ready',
        sha256: sha256Of(bytes),
      })
      expect(fault.hits).toBeGreaterThan(0)
    },
    90_000,
  )

  it('does not call lost what only a proxy does not find, when it is assembled', async () => {
    const bytes = await pictureOf(640)
    const id = await sendPart(alice, bytes)
    let isComplete = false
    const when = ({ key, operation }: S3Call) =>
      isComplete && key.includes(id) && ['HeadObject', 'GetObject', 'ListParts'].includes(operation)
    const fault = landfall.proxy.fail({ what: 'missing-404', when, times: 3 })
    onTestFinished(() => fault.stop())
    const media = await (async () => {
      const completing = complete(alice, id)
      await expect.poll(() => stateOf(alice, id), { timeout: 20_000, interval: 5 }).toBe('received')
      isComplete = true
      await answer(await completing)
      return await outcome(landfall, 'alice', id)
    })()
    expect(media).toMatchObject({ status: 'ready', sha256: sha256Of(bytes) })
    expect(fault.hits).toBe(3)
  }, 90_000)

  it('of one owner holds up that of no other', async () => {
    const bytes = await pictureOf(640)
    const stalled = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const form = await beginBucketForm(alice, 'filename=a.jpg')
        failing('stall', 'CopyObject', form.uploadId)
        expect((await postBucketForm(form, bytes)).status).toBe(204)
        return form.uploadId
      }),
    )
    await expect
      .poll(() => stalled.flatMap((id) => callsOf('CopyObject', id)).length, PATIENTLY)
      .toBeGreaterThan(0)
    const bob = landfall.as('bob')
    const form = await beginBucketForm(bob, 'filename=a.jpg')
    expect((await postBucketForm(form, bytes)).status).toBe(204)
    const sentAt = performance.now()
    await expect.poll(() => stateOf(bob, form.uploadId), PATIENTLY).toBe('received')
    expect(performance.now() - sentAt).toBeLessThan(10_000)
  }, 60_000)

  it('that is too small is refused by the bucket, or rejected', async () => {
    const form = await beginBucketForm(alice, 'filename=a.jpg')
    expect((await postBucketForm(form, Buffer.alloc(999))).status).toBe(400)
    expect((await postBucketForm(form, Buffer.alloc(0))).status).toBe(400)

    // Uppy tells no size before.
    const begun = await alice(`${DIRECT}/s3/multipart`, asJson({ filename: 'a.jpg', type: 'image/jpeg' }))
    const { key: id } = await answer<{ key: string }>(begun)
    const link = await alice(`${DIRECT}/s3/multipart/${id}/1?key=${id}`)
    const { url } = await answer<{ url: string }>(link)
    expect((await fetch(url, { method: 'PUT', body: new Uint8Array(999) })).status).toBe(200)
    const completed = await complete(alice, id)
    expect([completed.status, await completed.json()]).toEqual([422, expect.objectContaining({})])
    const upload = await answer<{ state: string; reason: { code: string } }>(
      await alice(`/api/v1/uploads/${id}`),
    )
    expect([upload.state, upload.reason.code]).toEqual(['rejected', 'too-small'])
    await expect.poll(() => keysOf(id), PATIENTLY).toEqual([])
  })

  describe('by a form that the bucket took before we looked', () => {
    let single: S3Landfall
    beforeAll(async () => {
      single = inTenant(
        await startS3Landfall({ env: { SCAN: 'off', AUTH_TENANT: 'optional', UPLOAD_MAX_OPEN: '1' } }),
        null,
      )
    })
    afterAll(async () => {
      await single?.close()
    })

    /** As an hour and more later, between two looks. */
    const age = async (id: string) => {
      await sql`update landfall.uploads set created_at = created_at - interval '80 minutes',
                       updated_at = now() - interval '80 minutes' where id = ${id}`.execute(single.db)
      await sql`update landfall.direct_uploads set created_at = created_at - interval '80 minutes',
                       links_until = links_until - interval '80 minutes', empty_at = empty_at - interval '80 minutes',
                       look_at = now() + interval '200 seconds' where upload_id = ${id}`.execute(single.db)
    }
    const lookNow = (id: string) =>
      sql`update landfall.direct_uploads set look_at = now() where upload_id = ${id}`.execute(single.db)
    const untilSeenEmpty = (id: string) =>
      expect
        .poll(async () => {
          const { rows } = await sql`select from landfall.direct_uploads
                                      where upload_id = ${id} and empty_at is not null`.execute(single.db)
          return rows.length
        }, PATIENTLY)
        .toBe(1)

    it('is not idle, and makes room for another only where it is known to be empty', async () => {
      const carol = single.as('carol')
      const form = await beginBucketForm(carol, 'filename=a.jpg')
      const id = form.uploadId
      await untilSeenEmpty(id)
      await age(id)
      const bytes = await pictureOf(640)
      expect((await postBucketForm(form, bytes)).status).toBe(204)
      const refused = await carol(`${DIRECT}/s3/params?filename=b.jpg`)
      expect(refused.status).toBe(429)
      await lookNow(id)
      expect(await outcome(single, 'carol', id)).toMatchObject({ status: 'ready', sha256: sha256Of(bytes) })

      const empty = await beginBucketForm(carol, 'filename=c.jpg')
      await age(empty.uploadId)
      await lookNow(empty.uploadId)
      await untilSeenEmpty(empty.uploadId)
      await beginBucketForm(carol, 'filename=d.jpg')
      expect(await stateOf(carol, empty.uploadId)).toBe('expired')
    }, 60_000)

    it('is not empty by an answer of before it was sent', async () => {
      const erin = single.as('erin')
      const form = await beginBucketForm(erin, 'filename=a.jpg')
      const slow = single.proxy.fail({
        what: 'stall-after',
        when: ({ operation, key }) => operation === 'GetObject' && key.includes(form.uploadId),
        times: 1,
      })
      onTestFinished(() => slow.stop())
      await expect.poll(() => slow.hits, PATIENTLY).toBe(1)
      const bytes = await pictureOf(640)
      expect((await postBucketForm(form, bytes)).status).toBe(204)
      // As where its links end now, between the question and the answer.
      await sql`update landfall.uploads set updated_at = now() - interval '80 minutes'
                 where id = ${form.uploadId}`.execute(single.db)
      await sql`update landfall.direct_uploads set links_until = now(), look_at = now() + interval '200 seconds'
                 where upload_id = ${form.uploadId}`.execute(single.db)
      slow.stop()
      await untilSeenEmpty(form.uploadId)
      expect((await erin(`${DIRECT}/s3/params?filename=b.jpg`)).status).toBe(429)
      await lookNow(form.uploadId)
      expect(await outcome(single, 'erin', form.uploadId)).toMatchObject({ status: 'ready' })
    }, 60_000)

    it('is complete and not expired, however short its time is', async () => {
      const dave = single.as('dave')
      const { token } = await answer<{ token: string }>(
        await inTenant(single, null, 'service').as('app')(
          '/api/v1/tickets',
          asJson({ owner: 'dave', uploadWithinSeconds: 20 }),
        ),
        201,
      )
      const ticketed: As = (path, init) =>
        fetch(single.url + path, { ...init, headers: { ...init?.headers, Authorization: `Bearer ${token}` } })
      const form = await beginBucketForm(ticketed, 'filename=a.jpg')
      const links = form as typeof form & { expires: number }
      expect(links.expires).toBeLessThanOrEqual(10)
      // In the last moment of the form.
      const bytes = await pictureOf(640)
      await slowly((links.expires - 2) * 1000)
      expect((await postBucketForm(form, bytes)).status).toBe(204)
      expect(await outcome(single, 'dave', form.uploadId)).toMatchObject({ status: 'ready' })
      expect(await stateOf(dave, form.uploadId)).toBe('received')
    }, 60_000)
  })

  it('that was never opened is not called lost', async () => {
    const { id } = await answer<{ id: string }>(
      await alice(DIRECT, asJson({ size: 2000, filename: 'a.jpg' })),
      201,
    )
    // As where its server was killed before the bucket was asked.
    await sql`update landfall.uploads set multipart_id = null where id = ${id}`.execute(landfall.db)
    await sql`update landfall.direct_uploads set look_at = now() where upload_id = ${id}`.execute(landfall.db)
    const seen = async () => {
      const { rows } = await sql`select from landfall.direct_uploads
                                  where upload_id = ${id} and empty_at is not null`.execute(landfall.db)
      return rows.length
    }
    await expect.poll(seen, PATIENTLY).toBe(1)
    expect(await stateOf(alice, id)).toBe('open')
  })

  it('and any other waits while a proxy finds none of its bytes, as long as that takes', async () => {
    const bytes = await pictureOf(640)
    let isFailing = true
    const hits: string[] = []
    const fault = landfall.proxy.fail({
      what: 'missing-404',
      when({ operation, key }) {
        const isHit = isFailing && ['HeadObject', 'GetObject'].includes(operation) && key.includes('uploads/')
        if (isHit) hits.push(operation)
        return isHit
      },
    })
    onTestFinished(() => fault.stop())
    const sent = await alice('/files', {
      method: 'POST',
      headers: {
        'Tus-Resumable': '1.0.0',
        'Upload-Length': String(bytes.length),
        'Content-Type': 'application/offset+octet-stream',
      },
      body: new Uint8Array(bytes),
    })
    expect(sent.status).toBe(201)
    const id = sent.headers.get('Location')?.split('/').at(-1) ?? ''
    await expect.poll(() => hits.length, PATIENTLY).toBeGreaterThan(8)
    const { mediaId } = await answer<{ mediaId: string }>(await alice(`/api/v1/uploads/${id}`))
    const media = await answer<{ status: string }>(await alice(`/api/v1/media/${mediaId}`))
    expect(media.status).toBe('processing')
    isFailing = false
    expect(await outcome(landfall, 'alice', id)).toMatchObject({ status: 'ready', sha256: sha256Of(bytes) })
  }, 90_000)

  it('that was joined without a word is found, and is never called empty', async () => {
    const bytes = await pictureOf(640)
    const id = await sendPart(alice, bytes)
    const fault = failing('missing-404', 'HeadObject', id)
    expect((await complete(alice, id)).status).toBe(503)
    fault.stop()
    // Its client does not ask again.
    expect(await outcome(landfall, 'alice', id)).toMatchObject({ status: 'ready', sha256: sha256Of(bytes) })
  }, 60_000)

  it('by a form of another size is complete after one that could not be judged', async () => {
    const [first, second] = await Promise.all([pictureOf(640), pictureOf(320)])
    const form = await beginBucketForm(alice, 'filename=a.jpg')
    const when = ({ operation, key }: S3Call) =>
      operation === 'GetObject' && key.includes(`${form.uploadId}.copy-`)
    const fault = landfall.proxy.fail({ what: 'refuse-503', when })
    onTestFinished(() => fault.stop())
    await postBucketForm(form, first)
    await expect.poll(() => fault.hits, PATIENTLY).toBeGreaterThan(4)
    expect((await postBucketForm(form, second)).status).toBe(204)
    fault.stop()
    expect(await outcome(landfall, 'alice', form.uploadId)).toMatchObject({
      status: 'ready',
      sha256: sha256Of(second),
    })
  }, 60_000)

  it('has at most one copy more than it needs, however often its completion is given up', async () => {
    const form = await beginBucketForm(alice, 'filename=a.mp4')
    const id = form.uploadId
    const delayed = landfall.proxy.fail({
      what: 'stall-after',
      when: ({ operation, key }) => operation === 'CopyObject' && key.includes(id),
    })
    onTestFinished(() => delayed.stop())
    await postBucketForm(form, await videoOfSize(MIB, 'copies'))
    for (let round = 0; round < 8; round++) {
      const before = callsOf('CopyObject', id).length
      const leaving = new AbortController()
      const asked = alice(`${DIRECT}/${id}/complete`, { method: 'POST', signal: leaving.signal }).catch(
        () => {},
      )
      await expect.poll(() => callsOf('CopyObject', id).length, PATIENTLY).toBeGreaterThan(before)
      leaving.abort()
      await asked
    }
    const copies = (await keysOf(id)).filter((key) => key.includes('.copy-'))
    expect(copies.length).toBeLessThanOrEqual(2)
    delayed.stop()
    expect(await outcome(landfall, 'alice', id)).toMatchObject({ status: 'ready' })
  }, 120_000)

  it('is copied once for all who ask, and each is told', async () => {
    const form = await beginBucketForm(alice, 'filename=a.jpg')
    const id = form.uploadId
    const slow = landfall.proxy.fail({
      what: 'delay',
      delayMs: 4000,
      when: ({ operation, key }) => operation === 'CopyObject' && key.includes(id),
    })
    onTestFinished(() => slow.stop())
    await postBucketForm(form, await pictureOf(640))
    const answers = await Promise.all([1, 2, 3].map(() => complete(alice, id)))
    for (const answer of answers) expect([200, 423]).toContain(answer.status)
    expect(answers.some(({ ok }) => ok)).toBe(true)
    expect(callsOf('CopyObject', id)).toHaveLength(1)
  }, 60_000)

  it('leaves nothing of a copy that an earlier release has made', async () => {
    const form = await beginBucketForm(alice, 'filename=a.jpg')
    const id = form.uploadId
    const { client, name } = landfall.bucket
    await client.send(new PutObjectCommand({ Bucket: name, Key: `uploads/${id}`, Body: 'an old copy' }))
    await postBucketForm(form, await pictureOf(640))
    await outcome(landfall, 'alice', id)
    await expect.poll(async () => (await keysOf(id)).includes(`uploads/${id}`), PATIENTLY).toBe(false)
  }, 60_000)

  it('lets the server stop while the bucket is silent', async () => {
    const other = await startS3Landfall({ env: { SCAN: 'off' } })
    const fault = other.proxy.fail({
      what: 'stall',
      when: ({ method }) => method === 'GET' || method === 'HEAD',
    })
    const [bytes, owners] = [await pictureOf(640), ['one', 'two']]
    for (const owner of owners)
      await postBucketForm(await beginBucketForm(other.as(owner), 'filename=a.jpg'), bytes)
    await expect.poll(() => fault.hits, PATIENTLY).toBeGreaterThan(1)
    const startedAt = performance.now()
    await other.close()
    expect(performance.now() - startedAt).toBeLessThan(10_000)
  }, 60_000)
})
