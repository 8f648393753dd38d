import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { jpeg, shortVideo, truncatedVideo } from './fixtures/media.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { slowly } from './support/pauses.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { describeStorages } from './support/storages.ts'
import { inTenant } from './support/tenant.ts'
import { head as headOf } from './support/tus.ts'
import { outcome } from './support/uploads.ts'

const MAX = 2_000_000
const BYTES = asJpeg(Buffer.alloc(5000, 'x'))

type Answer = {
  id: string
  uploadId: string
  status: string
  code: string
  detail: string
  maxSize: number
  filename: string
  contentType: string
  title: string
  metadata: Record<string, string>
  attachedTo: object
  estimatedSeconds: number | null
  storageKey: string
  reason: { code: string }
  sha256: string
  mediaId: string
}

describeStorages('a file in one request', (storage) => {
  let landfall: Landfall
  beforeAll(async () => {
    landfall = await startLandfall({
      storage,
      env: { SCAN: 'off', SIMPLE_MAX_SIZE: String(MAX), UPLOAD_MAX_OPEN: '3', QUOTA_BYTES: '20MB' },
    })
  })
  afterAll(() => landfall?.close())

  const ask = async (init: RequestInit, { sub = 'alice', query = '', as = landfall.as(sub) } = {}) => {
    const response = await as(`/api/v1/media${query}`, {
      method: 'POST',
      ...init,
      duplex: 'half',
    } as RequestInit)
    return { response, status: response.status, answer: (await response.json()) as Answer }
  }
  const refusal = async (...args: Parameters<typeof ask>) => {
    const { status, answer } = await ask(...args)
    return [status, answer.code]
  }
  const formOf = (
    bytes: Uint8Array,
    values: Record<string, string> = {},
    name = 'a.jpg',
    type = 'image/jpeg',
  ) => {
    const form = new FormData()
    for (const [key, value] of Object.entries(values)) form.append(key, value)
    form.append('file', new Blob([bytes as BlobPart], { type }), name)
    return form
  }
  /** Nothing is open, and nothing is reserved. */
  const nothingIsLeft = async (sub: string) => {
    const quota = (await (await landfall.as(sub)('/api/v1/quota')).json()) as {
      bytes: { used: number; reserved: number }
      uploads: { open: number }
    }
    expect([quota.bytes.used, quota.bytes.reserved, quota.uploads.open]).toEqual([0, 0, 0])
  }
  /** A form as a text, for what no program sends. */
  const raw = (...parts: string[]) => ({
    headers: { 'Content-Type': 'multipart/form-data; boundary=b' },
    body: `${parts.map((part) => `--b\r\n${part}\r\n`).join('')}--b--\r\n`,
  })
  const value = (name: string, text: string) =>
    `Content-Disposition: form-data; name="${name}"\r\n\r\n${text}`
  const file = (bytes = BYTES.toString('latin1'), header = 'Content-Type: image/jpeg\r\n') =>
    `Content-Disposition: form-data; name="file"; filename="a.jpg"\r\n${header}\r\n${bytes}`

  it('is received as a form, with what it says of the file', async () => {
    const { path } = await jpeg({ width: 640, height: 480 })
    const bytes = await readFile(path)
    const values = {
      title: 'Grüße 🙂',
      attachedToType: 'course',
      attachedToId: '7',
      lesson: ' a  b\u00a0',
      empty: '',
    }
    const { response, status, answer } = await ask({ body: formOf(bytes, values, 'Ä b.jpg') })
    expect(status).toBe(201)
    expect(response.headers.get('Location')).toMatch(new RegExp(`/api/v1/media/${answer.id}$`))
    expect(answer).toMatchObject({
      filename: 'Ä b.jpg',
      title: 'Grüße 🙂',
      attachedTo: { type: 'course', id: '7' },
      metadata: { lesson: ' a  b\u00a0', empty: '' },
    })
    expect(answer.storageKey).toBeUndefined()
    const media = await outcome(landfall, 'alice', answer.uploadId)
    expect(media).toMatchObject({
      status: 'ready',
      size: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    })
    const content = await landfall.as('alice')(`/api/v1/media/${answer.id}/content`)
    expect(Buffer.from(await content.arrayBuffer()).equals(bytes)).toBe(true)
    expect((await headOf(landfall, 'alice', answer.uploadId)).headers.get('Upload-Media-Id')).toBe(answer.id)
  })

  it.each<[string, (bytes: Buffer) => RequestInit, string]>([
    [
      'with a name in a header',
      (body) => ({
        body: body as BodyInit,
        headers: {
          'Content-Type': 'image/jpeg',
          'Content-Disposition': `attachment; filename*=UTF-8''%C3%A4.jpg`,
        },
      }),
      '',
    ],
    [
      'with a name in the query',
      (body) => ({ body: body as BodyInit, headers: { 'Content-Type': 'image/jpeg' } }),
      '?filename=%C3%A4.jpg',
    ],
    [
      'of no particular type',
      (body) => ({ body: body as BodyInit, headers: { 'Content-Type': 'application/octet-stream' } }),
      '?filename=%C3%A4.jpg',
    ],
    [
      'in chunks',
      (body) => ({ body: new Blob([body as BlobPart]).stream(), headers: { 'Content-Type': 'image/jpeg' } }),
      '?filename=%C3%A4.jpg',
    ],
  ])('is received as the body %s', async (_what, request, query) => {
    const bytes = await readFile((await jpeg({ width: 320, height: 240 })).path)
    const { status, answer } = await ask(request(bytes), { query, sub: 'raw' })
    expect([status, answer.filename]).toEqual([201, 'ä.jpg'])
    const media = await outcome(landfall, 'raw', answer.uploadId)
    expect([media.status, media.size, media.contentType]).toEqual(['ready', bytes.length, 'image/jpeg'])
  })

  it('is answered when it is ready, where its client prefers to wait', async () => {
    const bytes = await readFile((await jpeg({ width: 800, height: 600 })).path)
    const { response, answer } = await ask({
      body: formOf(bytes),
      headers: { Prefer: 'respond-async, wait=30' },
    })
    expect([answer.status, answer.estimatedSeconds]).toEqual(['ready', 0])
    expect(response.headers.get('Preference-Applied')).toBe('wait=30')
    const soon = await ask({ body: formOf(bytes) })
    expect(soon.answer.estimatedSeconds).toBeGreaterThan(0)
  })

  it('is answered 422 with the verdict, where its client waited for that', async () => {
    const broken = await truncatedVideo()
    const bytes = (await readFile(broken.path)).subarray(0, MAX)
    const { status, answer } = await ask(
      { body: formOf(bytes, {}, 'a.mp4', 'video/mp4'), headers: { Prefer: 'wait=30' } },
      { sub: 'verdict' },
    )
    expect([status, answer.code]).toEqual([422, 'content-rejected'])
    expect(answer.reason.code).toBe('damaged')
    const media = await landfall.as('verdict')(`/api/v1/media/${answer.mediaId}`)
    expect(((await media.json()) as Answer).status).toBe('rejected')
  })

  it('is taken from a backend for an owner, and tells it the key', async () => {
    const backend = inTenant(landfall, null, 'service').as('backend')
    const { answer } = await ask({ body: formOf(BYTES) }, { as: backend, query: '?owner=zoe' })
    expect(answer).toMatchObject({ ownerId: 'zoe', storageKey: expect.stringContaining(answer.uploadId) })
  })

  it('is permitted by an upload ticket, also in the address of a form of HTML', async () => {
    const backend = inTenant(landfall, null, 'service').as('backend')
    const issue = async (body: object) => {
      const headers = { 'Content-Type': 'application/json' }
      const init = { method: 'POST', headers, body: JSON.stringify({ owner: 'tim', ...body }) }
      return ((await (await backend('/api/v1/tickets', init)).json()) as { token: string }).token
    }
    const token = await issue({ title: 'Set', maxSize: 6000 })
    const send = (bytes: Uint8Array, ticket = token) =>
      fetch(`${landfall.url}/api/v1/media?ticket=${ticket}`, {
        method: 'POST',
        body: formOf(bytes, { title: 'Mine' }),
      })
    const large = await send(Buffer.concat([BYTES, Buffer.alloc(2000)]))
    expect([large.status, await large.json()]).toMatchObject([413, { code: 'too-large', maxSize: 6000 }])
    const both = await Promise.all([send(BYTES), send(BYTES)])
    expect(both.map(({ status }) => status).sort()).toEqual([201, 403])
    const [answer] = await Promise.all(
      both.filter(({ ok }) => ok).map((one) => one.json() as Promise<Answer>),
    )
    expect(answer).toMatchObject({ ownerId: 'tim', title: 'Set' })
    const jwt = landfall.token('alice')
    expect((await send(BYTES, jwt)).status).toBe(401)
    expect((await fetch(`${landfall.url}/api/v1/media?ticket=${token}`)).status).toBe(401)
  })

  describe('is refused, and leaves nothing,', () => {
    it.each<[string, () => RequestInit, number, string, string?]>([
      ['without a body', () => ({ headers: { 'Content-Type': 'image/jpeg' } }), 400, 'invalid-request'],
      ['without a type', () => ({ body: BYTES as BodyInit }), 415, 'unsupported-content-type'],
      ['as a form without a file', () => raw(value('title', 'x')), 400, 'invalid-request'],
      ['as an empty form', () => raw(), 400, 'invalid-request'],
      [
        'as a form of another kind',
        () => ({ body: new URLSearchParams({ file: 'x' }) }),
        415,
        'unsupported-content-type',
      ],
      [
        'as another multipart',
        () => ({ ...raw(file()), headers: { 'Content-Type': 'multipart/mixed; boundary=b' } }),
        415,
        'unsupported-content-type',
      ],
      [
        'as a form without a boundary',
        () => ({ ...raw(file()), headers: { 'Content-Type': 'multipart/form-data' } }),
        400,
        'invalid-request',
      ],
      [
        'as a form with another boundary',
        () => ({ ...raw(file()), headers: { 'Content-Type': 'multipart/form-data; boundary=c' } }),
        400,
        'invalid-request',
      ],
      ['as a form that is cut off', () => ({ ...raw(), body: `--b\r\n${file()}` }), 400, 'invalid-request'],
      ['with a value behind the file', () => raw(file(), value('title', 'x')), 400, 'invalid-request'],
      ['with two files', () => raw(file(), file()), 400, 'invalid-request'],
      ['with a value twice', () => raw(value('a', '1'), value('a', '2'), file()), 400, 'invalid-request'],
      [
        'with a value that is too long',
        () => raw(value('a', 'x'.repeat(20_000)), file()),
        400,
        'invalid-request',
      ],
      [
        'with a name that is too long',
        () => raw(value('a'.repeat(300), 'x'), file()),
        400,
        'invalid-metadata',
      ],
      [
        'with a hundred values',
        () => raw(...Array.from({ length: 100 }, (_, n) => value(`a${n}`, 'x')), file()),
        400,
        'invalid-request',
      ],
      ['with a key that is not allowed', () => raw(value('__proto__', 'x'), file()), 400, 'invalid-metadata'],
      ['with half of an attachment', () => raw(value('attachedToId', '7'), file()), 400, 'invalid-metadata'],
      ['as an empty file', () => raw(file('')), 400, 'too-small'],
      ['as a small file', () => raw(file('\xff\xd8\xff')), 400, 'too-small'],
      [
        'as a small body',
        () => ({ body: 'GIF89a', headers: { 'Content-Type': 'image/gif' } }),
        400,
        'too-small',
      ],
      [
        'as a program',
        () => ({ body: formOf(BYTES, {}, 'a.exe', 'application/x-msdownload') }),
        415,
        'type-not-allowed',
      ],
      [
        'as something else than its name',
        () => ({ body: formOf(Buffer.alloc(5000, 'text '), {}, 'a.mp4', 'video/mp4') }),
        415,
        'type-not-allowed',
      ],
      [
        'as a large body',
        () => ({
          body: asJpeg(Buffer.alloc(MAX + 1)) as BodyInit,
          headers: { 'Content-Type': 'image/jpeg' },
        }),
        413,
        'too-large',
      ],
      [
        'as a large body in chunks',
        () => ({
          body: new Blob([asJpeg(Buffer.alloc(MAX + 1)) as BlobPart]).stream(),
          headers: { 'Content-Type': 'image/jpeg' },
        }),
        413,
        'too-large',
      ],
      ['as a large form', () => ({ body: formOf(asJpeg(Buffer.alloc(MAX + 1))) }), 413, 'too-large'],
      [
        'as a form far too large',
        () => ({ body: formOf(asJpeg(Buffer.alloc(MAX + 2_000_000))) }),
        413,
        'too-large',
      ],
      [
        'in a coding',
        () => ({
          body: BYTES as BodyInit,
          headers: { 'Content-Type': 'image/jpeg', 'Content-Encoding': 'gzip' },
        }),
        415,
        'unsupported-content-type',
      ],
    ])('%s', async (what, request, status, code) => {
      const sub = `refused ${what}`
      expect(await refusal(request(), { sub })).toEqual([status, code])
      await nothingIsLeft(sub)
    })

    const partOf = (head: string, body: Buffer | string) =>
      Buffer.concat([Buffer.from(`--b\r\n${head}\r\n\r\n`), Buffer.from(body), Buffer.from('\r\n')])
    const GOOD = partOf(
      'Content-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg',
      BYTES,
    )
    const UTF16 = 'Content-Type: text/plain; charset=utf-16le'
    it.each<[string, Buffer[]]>([
      [
        'half a character in its name',
        [
          partOf(
            `Content-Disposition: form-data; name="name"\r\n${UTF16}`,
            Buffer.from([0x61, 0, 0, 0xd8, 0x62, 0]),
          ),
          GOOD,
        ],
      ],
      [
        'half a character in its type',
        [partOf(`Content-Disposition: form-data; name="filetype"\r\n${UTF16}`, Buffer.from([0, 0xd8])), GOOD],
      ],
      [
        'half a character in the name of its part',
        [
          partOf(
            'Content-Disposition: form-data; name="file"; filename*=utf-16le\'\'%61%00%00%D8%62%00\r\nContent-Type: image/jpeg',
            BYTES,
          ),
        ],
      ],
      ['a value without a name', [partOf('Content-Disposition: form-data', 'x'), GOOD]],
      ['a value without a name behind it', [GOOD, partOf('Content-Disposition: form-data', 'x')]],
      [
        'two values without a name',
        [partOf('Content-Disposition: form-data', 'x'), partOf('Content-Disposition: form-data', 'x'), GOOD],
      ],
      [
        'a title in a charset that there is not',
        [
          partOf(
            'Content-Disposition: form-data; name="title"\r\nContent-Type: text/plain; charset=nonsense',
            'abc',
          ),
          GOOD,
        ],
      ],
      [
        'a value in Latin-1',
        [partOf('Content-Disposition: form-data; name="title"', Buffer.from([0xe9])), GOOD],
      ],
    ])('with %s', async (what, parts) => {
      const sub = `with ${what}`
      const body = Buffer.concat([...parts, Buffer.from('--b--\r\n')])
      const headers = { 'Content-Type': 'multipart/form-data; boundary=b' }
      expect((await ask({ body, headers }, { sub })).status).toBe(400)
      await nothingIsLeft(sub)
    })

    it('with an unknown parameter of the query', async () => {
      expect(await refusal({ body: formOf(BYTES) }, { query: '?title=x' })).toEqual([400, 'invalid-request'])
    })

    it('where the quota is used up', async () => {
      await landfall.db
        .insertInto('landfall.quotas')
        .values({ owner_id: 'full' as never, bytes_limit: 6000, uploads_limit: null })
        .execute()
      expect((await ask({ body: formOf(BYTES) }, { sub: 'full' })).status).toBe(201)
      expect(await refusal({ body: formOf(BYTES) }, { sub: 'full' })).toEqual([413, 'quota-bytes-exceeded'])
    })

    it('where its client leaves in the middle', async () => {
      const { hostname, port } = new URL(landfall.url)
      for (const at of [0, 3000]) {
        const socket = connect(Number(port), hostname)
        await new Promise((resolve) => socket.once('connect', resolve))
        const head = [
          'POST /api/v1/media HTTP/1.1',
          `Host: ${hostname}`,
          `Authorization: Bearer ${landfall.token('left')}`,
          'Content-Type: multipart/form-data; boundary=b',
          'Content-Length: 100000',
        ]
        const part = `--b\r\n${file('')}`
        socket.write(
          Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n${part}`), BYTES.subarray(0, at)]),
        )
        await slowly(300)
        socket.destroy()
        await expect
          .poll(
            async () =>
              nothingIsLeft('left').then(
                () => true,
                () => false,
              ),
            { timeout: 10_000 },
          )
          .toBe(true)
      }
    })
  })

  it('needs no type of its part, as Python sends it', async () => {
    const bytes = await readFile((await shortVideo()).path)
    if (bytes.length > MAX) throw new Error('the video is too large for this test')
    const body = Buffer.concat([
      Buffer.from('--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'),
      bytes,
      Buffer.from('\r\n--b--\r\n'),
    ])
    const headers = { 'Content-Type': 'multipart/form-data; boundary=b', Prefer: 'wait=30' }
    const { answer } = await ask({ body, headers }, { sub: 'python' })
    expect(answer).toMatchObject({ status: 'ready', contentType: 'video/mp4' })
  })

  it('is one of many of its owner, whose limit of open uploads holds', async () => {
    const answers = await Promise.all(
      Array.from({ length: 12 }, () => ask({ body: formOf(BYTES) }, { sub: 'many' })),
    )
    for (const { status, answer } of answers)
      expect(status === 201 || (status === 429 && answer.code === 'too-many-open-uploads')).toBe(true)
    expect(answers.some(({ status }) => status === 201)).toBe(true)
    const quota = (await (await landfall.as('many')('/api/v1/quota')).json()) as {
      bytes: { reserved: number }
    }
    expect(quota.bytes.reserved).toBe(0)
  })

  it.each([
    ['a form', 'multipart/form-data; boundary=b', `--b\r\n${file('')}`],
    ['a body', 'image/jpeg', ''],
  ])('as %s that stalls lets go of its upload', async (what, type, part) => {
    const sub = `stalled ${what}`
    const { hostname, port } = new URL(landfall.url)
    const socket = connect(Number(port), hostname)
    await new Promise((resolve) => socket.once('connect', resolve))
    const head = [
      'POST /api/v1/media HTTP/1.1',
      `Host: ${hostname}`,
      `Authorization: Bearer ${landfall.token(sub)}`,
      `Content-Type: ${type}`,
      'Content-Length: 600500',
    ]
    const bytes = asJpeg(Buffer.alloc(300_000, 'x'))
    socket.write(Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n${part}`), bytes]))
    const openId = async () => {
      const answer = await landfall.as(sub)('/api/v1/uploads')
      return ((await answer.json()) as { items: { id: string; offset: number }[] }).items.find(
        ({ offset }) => offset > 0,
      )?.id
    }
    await expect.poll(openId, { timeout: 10_000 }).toBeDefined()
    const askedAt = performance.now()
    await headOf(landfall, sub, (await openId()) ?? '')
    expect(performance.now() - askedAt).toBeLessThan(5000)
    socket.destroy()
  })
})
