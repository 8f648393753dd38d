import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { filesBelow } from './support/leftovers.ts'
import { OFFSET_STREAM, problemOf, rawRequest, type TusRequest, tusRequest } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { quotaOf, statusOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { create, head, idOf, metadataHeader } from './support/tus.ts'

const SIZE = 2000
const LENGTH = { 'Upload-Length': String(SIZE) }
const BYTES = asJpeg(Buffer.alloc(SIZE, 'x'))
const metadata = (entries: Record<string, string>) => ({
  ...LENGTH,
  'Upload-Metadata': metadataHeader(entries),
})
const rawMetadata = (text: string) => ({ ...LENGTH, 'Upload-Metadata': text })

describe('POST /files', () => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '1000' } })
  })
  afterAll(() => landfall?.close())

  const post = (sub: string, request: Omit<TusRequest, 'method' | 'at'>) =>
    tusRequest(landfall, sub, { method: 'POST', ...request })

  type Refusal = [what: string, headers: TusRequest['headers'], status: number, code: string]
  const refusals: Refusal[] = [
    ['no Tus-Resumable', { ...LENGTH, 'Tus-Resumable': undefined }, 412, 'unsupported-version'],
    ['an older Tus-Resumable', { ...LENGTH, 'Tus-Resumable': '0.2.2' }, 412, 'unsupported-version'],
    ['no token', { ...LENGTH, Authorization: undefined }, 401, 'token-missing'],
    ['neither length nor its deferral', {}, 400, 'invalid-header'],
    ['both length and its deferral', { ...LENGTH, 'Upload-Defer-Length': '1' }, 400, 'invalid-header'],
    ['a deferral that is not 1', { 'Upload-Defer-Length': '2' }, 400, 'invalid-header'],
    ['a malformed Upload-Concat', { ...LENGTH, 'Upload-Concat': 'nonsense' }, 400, 'invalid-header'],
    ...['1e+21', '-1', '+1', '01', '9007199254740992', '', '1.0', '0x10', '12abc', '2000, 2000', 'NaN'].map(
      (length): Refusal => [
        `an Upload-Length of "${length}"`,
        { 'Upload-Length': length },
        400,
        'invalid-header',
      ],
    ),
    ['more bytes than are allowed', { 'Upload-Length': '524288001' }, 413, 'too-large'],
    ['fewer bytes than are allowed', { 'Upload-Length': '999' }, 400, 'too-small'],
    ['metadata that is no base64', rawMetadata('filename a.mp4'), 400, 'invalid-metadata'],
    ['metadata with three words', rawMetadata('filename YQ== YQ=='), 400, 'invalid-metadata'],
    ['metadata with a key beyond ASCII', rawMetadata('f\xefle YQ=='), 400, 'invalid-metadata'],
    ['a metadata key twice', rawMetadata('a YQ==,a Yg=='), 400, 'invalid-metadata'],
    ['a metadata key with and without a value', rawMetadata('a YQ==,a'), 400, 'invalid-metadata'],
    ['the metadata key __proto__', rawMetadata('__proto__ YQ=='), 400, 'invalid-metadata'],
    ['a NUL in metadata', metadata({ filename: 'a\0.mp4' }), 400, 'invalid-metadata'],
    ['more metadata than is allowed', rawMetadata(`a ${'YWFh'.repeat(4096)}`), 431, 'metadata-too-large'],
    ['a file name that is not allowed', metadata({ filename: 'setup.exe' }), 415, 'type-not-allowed'],
    ['a type that is not allowed', metadata({ filetype: 'text/html' }), 415, 'type-not-allowed'],
  ]

  it.each([LENGTH, { 'Upload-Defer-Length': '1' }])(
    'with %j and the type of a body that is not there creates',
    async (length) => {
      const answer = await post('bodiless', { headers: { ...length, 'Content-Type': OFFSET_STREAM } })
      expect(answer.status).toBe(201)
    },
  )

  it.each(refusals)('with %s is refused and creates nothing', async (_what, headers, status, code) => {
    const answer = await post('nobody', { headers })
    expect([answer.status, problemOf(answer).code]).toEqual([status, code])
    expect(answer.headers['tus-version']).toBe(status === 412 ? '1.0.0' : undefined)
    expect(answer.headers.location).toBeUndefined()
    expect((await quotaOf(landfall, 'nobody')).uploads.open).toBe(0)
  })

  it.each([
    ['of another type', { 'Content-Type': 'application/json' }, 415, 'unsupported-content-type'],
    ['without a type', {}, 415, 'unsupported-content-type'],
    [
      'with a checksum that is none',
      { 'Content-Type': OFFSET_STREAM, 'Upload-Checksum': 'sha1 YQ==' },
      400,
      'invalid-header',
    ],
  ] as const)('with a body %s is refused, not taken without it', async (_what, headers, status, code) => {
    const answer = await post('nobody', { headers: { ...LENGTH, ...headers }, body: BYTES })
    expect([answer.status, problemOf(answer).code]).toEqual([status, code])
    expect((await quotaOf(landfall, 'nobody')).uploads.open).toBe(0)
  })

  it('creates an upload at an address of its own, with the time it expires', async () => {
    const answer = await post('alice', { headers: metadata({ filename: 'a.mp4', relativePath: 'null' }) })
    expect(answer.status).toBe(201)
    expect(answer.body).toBe('')
    expect(answer.headers['tus-resumable']).toBe('1.0.0')
    expect(answer.headers.location?.replace(landfall.url, '')).toMatch(/^\/files\/[A-Za-z0-9_-]{22}$/)
    const hours = (Date.parse(String(answer.headers['upload-expires'])) - Date.now()) / 3_600_000
    expect(hours).toBeCloseTo(24, 1)
    expect(answer.headers['upload-media-id']).toBeUndefined()
  })

  it('creates a partial upload, which is told as one', async () => {
    const answer = await post('alice', { headers: { ...LENGTH, 'Upload-Concat': 'partial' } })
    expect(answer.status).toBe(201)
    const id = String(answer.headers.location).split('/').at(-1) ?? ''
    expect((await head(landfall, 'alice', id)).headers.get('Upload-Concat')).toBe('partial')
  })

  it('ignores a content type when there is no body, as some clients send one', async () => {
    const answer = await post('alice', { headers: { ...LENGTH, 'Content-Type': 'application/json' } })
    expect(answer.status).toBe(201)
  })

  it('is not possible on an upload', async () => {
    const id = idOf(await fetchCreate())
    const answer = await tusRequest(landfall, 'alice', { method: 'POST', at: id, headers: LENGTH })
    expect([answer.status, answer.headers.allow]).toEqual([405, 'GET, HEAD, PATCH, DELETE, OPTIONS'])
    expect(problemOf(answer).code).toBe('method-not-allowed')
  })

  it.each([
    ['PATCH', 405],
    ['DELETE', 405],
    ['GET', 405],
    ['PUT', 405],
    ['TRACE', 405],
    ['nonsense', 400],
    ['', 400],
    ['PATCH, DELETE', 400],
  ])('overridden to %s on the collection answers %i', async (method, status) => {
    const answer = await post('alice', { headers: { ...LENGTH, 'X-HTTP-Method-Override': method } })
    expect(answer.status).toBe(status)
    expect(problemOf(answer).status).toBe(status)
  })

  it.each(['PATCH', 'PUT', 'GET', 'OPTIONS', 'POST'])('can be asked for by a %s', async (method) => {
    const headers = { ...LENGTH, 'X-HTTP-Method-Override': 'POST' }
    const answer = await tusRequest(landfall, 'alice', { method, headers })
    expect([answer.status, answer.headers['tus-resumable']]).toEqual([201, '1.0.0'])
  })

  it.each([
    ['POST', 'OPTIONS', 204, 'tus-extension'],
    ['GET', 'options', 204, 'tus-max-size'],
    ['POST', 'HEAD', 200, 'upload-offset'],
    ['OPTIONS', 'HEAD', 200, 'upload-offset'],
    ['DELETE', 'HEAD, HEAD', 200, 'upload-offset'],
    ['OPTIONS', 'DELETE', 204, 'tus-resumable'],
    ['HEAD', 'OPTIONS', 204, 'tus-version'],
    ['POST', 'GET', 409, 'x-request-id'],
    ['PATCH', 'PUT', 405, 'allow'],
    ['HEAD', 'POST', 405, 'allow'],
  ])('of an upload by %s can be overridden to %s', async (method, named, status, told) => {
    const at = idOf(await fetchCreate())
    const headers = { 'X-HTTP-Method-Override': named }
    const answer = await tusRequest(landfall, 'alice', { method, at, headers })
    expect(answer.status).toBe(status)
    expect(answer.headers[told]).toBeDefined()
  })

  const fetchCreate = () =>
    fetch(`${landfall.url}/files`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${landfall.token('alice')}`, 'Tus-Resumable': '1.0.0', ...LENGTH },
    })

  it('stores no byte of an upload that was ended before its bytes are read', async () => {
    // As by whoever erases its owner in that moment.
    await sql
      .raw(`
      create function ended() returns trigger language plpgsql as
        'begin update landfall.uploads set state = ''terminated'' where id = new.id; return null; end';
      create trigger ended after insert on landfall.uploads for each row
        when (new.filename = 'ended.jpg') execute function ended()`)
      .execute(landfall.db)
    onTestFinished(async () => {
      await sql.raw('drop trigger ended on landfall.uploads; drop function ended').execute(landfall.db)
    })
    const before = await filesBelow(landfall.dataDirectory)
    const answer = await create(landfall, 'erased', {
      size: SIZE,
      metadata: { filename: 'ended.jpg' },
      body: BYTES,
    })
    expect(answer.status, await answer.text()).toBe(410)
    expect(await filesBelow(landfall.dataDirectory)).toEqual(before)
  })
})

describeStorages('POST /files with a body', (storage) => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ storage, withoutWorker: true })
  })
  afterAll(() => landfall?.close())

  const post = (sub: string, request: Omit<TusRequest, 'method' | 'at'>) =>
    tusRequest(landfall, sub, { method: 'POST', ...request })

  it('takes the first bytes with the creation', async () => {
    const answer = await post('alice', {
      headers: { ...LENGTH, 'Content-Type': OFFSET_STREAM },
      body: BYTES.subarray(0, 500),
    })
    expect([answer.status, answer.headers['upload-offset']]).toEqual([201, '500'])
    const id = String(answer.headers.location).split('/').at(-1) ?? ''
    expect((await head(landfall, 'alice', id)).headers.get('Upload-Offset')).toBe('500')
  })

  it('finishes an upload whose bytes all come with the creation', async () => {
    const answer = await post('bob', { headers: { ...LENGTH, 'Content-Type': OFFSET_STREAM }, body: BYTES })
    expect([answer.status, answer.headers['upload-offset']]).toEqual([201, String(SIZE)])
    const id = String(answer.headers.location).split('/').at(-1) ?? ''
    const mediaId = String(answer.headers['upload-media-id'])
    expect(answer.headers.link).toBe(`</api/v1/media/${mediaId}>; rel="describedby"`)
    expect(answer.headers['upload-expires']).toBeUndefined()
    expect(await statusOf(landfall, 'bob', id)).toMatchObject({ state: 'received', offset: SIZE, mediaId })
    expect(await quotaOf(landfall, 'bob')).toEqual({
      bytes: { used: SIZE, reserved: 0 },
      uploads: { finished: 1, open: 0 },
    })
  })

  it('refuses more bytes with the creation than it declares', async () => {
    const answer = await post('alice', {
      headers: { 'Upload-Length': '1999', 'Content-Type': OFFSET_STREAM },
      body: BYTES,
    })
    expect([answer.status, problemOf(answer).code]).toEqual([413, 'too-large'])
  })
})

describe('the Location of a new upload', () => {
  const trusting = { TRUST_PROXY: 'loopback' }
  const xForwarded = { 'X-Forwarded-Proto': 'https,http', 'X-Forwarded-Host': 'media.example.org' }
  const forwarded = { Forwarded: 'for=192.0.2.1;proto=https;host="media.example.org", proto=http;host=inner' }
  type Case = [what: string, env: Record<string, string>, said: Record<string, string>, starts: string]
  const cases: Case[] = [
    ['is below the Host', {}, { Host: 'media.example.org:81' }, 'http://media.example.org:81/files/'],
    ['is relative, whatever a client forwards', {}, { ...xForwarded, ...forwarded }, '/files/'],
    ['is relative where that is wanted', { LOCATION: 'relative' }, { Host: 'media.example.org' }, '/files/'],
    [
      'is absolute where that is wanted',
      { LOCATION: 'absolute' },
      { ...xForwarded, Host: 'media.example.org' },
      'http://media.example.org/files/',
    ],
    [
      'is what a trusted proxy was asked by X-Forwarded-*',
      trusting,
      xForwarded,
      'https://media.example.org/files/',
    ],
    [
      'is what a trusted proxy was asked by Forwarded',
      trusting,
      forwarded,
      'https://media.example.org/files/',
    ],
    [
      'is below PUBLIC_URL',
      { PUBLIC_URL: 'https://example.org/upload/', ...trusting },
      xForwarded,
      'https://example.org/upload/files/',
    ],
  ]

  it.each(cases)('%s', async (_what, env, said, starts) => {
    const landfall = await startLandfall({ withoutWorker: true, env })
    try {
      const answer = await tusRequest(landfall, 'alice', {
        method: 'POST',
        headers: { ...LENGTH, ...said },
      })
      expect(answer.status).toBe(201)
      expect(answer.headers.location?.slice(0, starts.length)).toBe(starts)
      const partial = { ...LENGTH, ...said, 'Upload-Concat': 'partial' }
      const piece = await tusRequest(landfall, 'alice', { method: 'POST', headers: partial })
      const final = { ...said, 'Upload-Concat': `final;${piece.headers.location}` }
      const whole = await tusRequest(landfall, 'alice', { method: 'POST', headers: final })
      expect([whole.status, whole.headers.location?.slice(0, starts.length)]).toEqual([201, starts])
      // The path is ours, so the upload is there whatever the address in front of it is.
      const path = `/files/${answer.headers.location?.split('/').at(-1)}`
      const headers = { Authorization: `Bearer ${landfall.token('alice')}`, 'Tus-Resumable': '1.0.0' }
      expect((await rawRequest(landfall, { method: 'HEAD', path, headers })).status).toBe(200)
    } finally {
      await landfall.close()
    }
  })
})
