import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import {
  answerOf,
  OFFSET_STREAM,
  openPatch,
  problemOf,
  rawRequest,
  type TusRequest,
  tusHeaders,
  tusRequest,
} from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { quotaOf, statusOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { createId, head, patch } from './support/tus.ts'

const SIZE = 2000
const BYTES = asJpeg(Buffer.from(Array.from({ length: SIZE }, (_, index) => index % 251)))

describeStorages('PATCH /files/:id', (storage) => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ storage, withoutWorker: true, env: { UPLOAD_MAX_OPEN: '1000' } })
  })
  afterAll(() => landfall?.close())

  const newUpload = (sub = 'alice') => createId(landfall, sub, { size: SIZE })
  const offsetOf = async (id: string) => (await head(landfall, 'alice', id)).headers.get('Upload-Offset')
  const append = (at: string, headers: TusRequest['headers'], body?: Uint8Array) =>
    tusRequest(landfall, 'alice', {
      method: 'PATCH',
      at,
      headers: { 'Upload-Offset': '0', 'Content-Type': OFFSET_STREAM, ...headers },
      body,
    })

  type Refusal = [what: string, headers: TusRequest['headers'], status: number, code: string]
  const refusals: Refusal[] = [
    ['no Tus-Resumable', { 'Tus-Resumable': undefined }, 412, 'unsupported-version'],
    ['another Tus-Resumable', { 'Tus-Resumable': '1.0' }, 412, 'unsupported-version'],
    ['no token', { Authorization: undefined }, 401, 'token-missing'],
    ['no content type', { 'Content-Type': undefined }, 415, 'unsupported-content-type'],
    ['another content type', { 'Content-Type': 'video/mp4' }, 415, 'unsupported-content-type'],
    ['no offset', { 'Upload-Offset': undefined }, 400, 'invalid-header'],
    ...['', '-1', '01', '1e3', 'abc', '0, 0', '9007199254740992'].map(
      (offset): Refusal => [`an offset of "${offset}"`, { 'Upload-Offset': offset }, 400, 'invalid-header'],
    ),
    ['an offset that is not the current', { 'Upload-Offset': '5' }, 409, 'offset-conflict'],
    ['a length that is known already', { 'Upload-Length': '1999' }, 400, 'invalid-header'],
    ['a malformed length', { 'Upload-Length': '1e+21' }, 400, 'invalid-header'],
    ['a length beyond what is allowed', { 'Upload-Length': '524288001' }, 413, 'too-large'],
    ['a checksum that is none', { 'Upload-Checksum': 'sha1 YQ==' }, 400, 'invalid-header'],
  ]

  it.each(refusals)('with %s is refused and keeps nothing', async (_what, headers, status, code) => {
    const id = await newUpload('alice')
    const answer = await append(id, headers, BYTES.subarray(0, 100))
    expect([answer.status, problemOf(answer).code]).toEqual([status, code])
    expect(answer.headers['upload-offset']).toBe(status === 409 ? '0' : undefined)
    expect(answer.headers['tus-version']).toBe(status === 412 ? '1.0.0' : undefined)
    expect(await offsetOf(id)).toBe('0')
  })

  it('tells the offset it stands at when the client is somewhere else', async () => {
    const id = await newUpload()
    await append(id, {}, BYTES.subarray(0, 700))
    for (const offset of ['0', '699', '701', '2000']) {
      const answer = await append(id, { 'Upload-Offset': offset }, BYTES.subarray(0, 1))
      expect([answer.status, answer.headers['upload-offset']]).toEqual([409, '700'])
    }
  })

  it.each([
    ['somebody else’s', 'mallory', (id: string) => id],
    ['unknown', 'alice', () => 'A'.repeat(22)],
    ['malformed', 'alice', () => 'x'],
  ])('to an upload that is %s finds nothing', async (_what, sub, at) => {
    const id = await newUpload()
    const headers = { 'Upload-Offset': '0', 'Content-Type': OFFSET_STREAM }
    const answer = await tusRequest(landfall, sub, { method: 'PATCH', at: at(id), headers, body: BYTES })
    expect([answer.status, problemOf(answer).code]).toEqual([404, 'not-found'])
    expect(await offsetOf(id)).toBe('0')
  })

  it('appends, tells the new offset and when the upload expires', async () => {
    const id = await newUpload()
    const answer = await append(id, {}, BYTES.subarray(0, 700))
    expect([answer.status, answer.body]).toEqual([204, ''])
    expect(answer.headers).toMatchObject({ 'upload-offset': '700', 'tus-resumable': '1.0.0' })
    const hours = (Date.parse(String(answer.headers['upload-expires'])) - Date.now()) / 3_600_000
    expect(hours).toBeCloseTo(24, 1)
    expect(answer.headers['upload-media-id']).toBeUndefined()
  })

  it('with no bytes changes nothing', async () => {
    const id = await newUpload()
    await append(id, {}, BYTES.subarray(0, 700))
    const answer = await append(id, { 'Upload-Offset': '700', 'Content-Length': '0' })
    expect([answer.status, answer.headers['upload-offset']]).toEqual([204, '700'])
  })

  it('with the last byte tells the media, and no expiry any more', async () => {
    const id = await newUpload()
    const answer = await append(id, {}, BYTES)
    const { mediaId } = await statusOf(landfall, 'alice', id)
    expect([answer.status, answer.headers['upload-offset']]).toEqual([204, String(SIZE)])
    expect(answer.headers['upload-media-id']).toBe(mediaId)
    expect(answer.headers.link).toBe(`</api/v1/media/${mediaId}>; rel="describedby"`)
    expect(answer.headers['upload-expires']).toBeUndefined()
  })

  it('repeated at the full offset tells the same media and finishes nothing twice', async () => {
    const id = await createId(landfall, 'carol', { size: SIZE })
    const first = await patch(landfall, 'carol', id, { offset: 0, body: BYTES })
    const again = await Promise.all(
      [1, 2, 3].map(() => patch(landfall, 'carol', id, { offset: SIZE, body: new Uint8Array() })),
    )
    const mediaId = first.headers.get('Upload-Media-Id')
    expect(mediaId).toMatch(/^[\w-]{22}$/)
    for (const answer of again) {
      expect([answer.status, answer.headers.get('Upload-Media-Id')]).toEqual([204, mediaId])
    }
    const events = await landfall.db
      .selectFrom('landfall.events')
      .select('type')
      .where('upload_id', '=', id)
      .execute()
    expect(events.map(({ type }) => type)).toEqual(['upload.created', 'upload.received'])
    expect(await quotaOf(landfall, 'carol')).toEqual({
      bytes: { used: SIZE, reserved: 0 },
      uploads: { finished: 1, open: 0 },
    })
  })

  it('that declares more bytes than are left is refused, and keeps nothing', async () => {
    const id = await newUpload()
    const declared = await append(id, {}, Buffer.alloc(SIZE + 1))
    expect([declared.status, problemOf(declared).code]).toEqual([413, 'too-large'])
    expect(await offsetOf(id)).toBe('0')
  })

  it.each([
    ['in a chunk of their own', [BYTES, Buffer.alloc(1)]],
    ['in the last chunk', [BYTES.subarray(0, 500), Buffer.concat([BYTES.subarray(500), Buffer.alloc(700)])]],
    ['in the only chunk', [Buffer.concat([BYTES, Buffer.alloc(100_000)])]],
  ])(
    'with more bytes than are left, %s, keeps those up to its length, and tells so',
    async (_what, chunks) => {
      const id = await newUpload()
      const chunked = openPatch(landfall, 'alice', id, { offset: 0 })
      for (const chunk of chunks) await chunked.send(chunk)
      const refusal = await chunked.answer
      expect([refusal.status, problemOf(refusal).code]).toEqual([413, 'too-large'])
      const { mediaId } = await statusOf(landfall, 'alice', id)
      expect(refusal.headers).toMatchObject({ 'upload-offset': String(SIZE), 'upload-media-id': mediaId })
      expect(await offsetOf(id)).toBe(String(SIZE))
      expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'received', offset: SIZE })
      expect((await landfall.stored.bytes(`uploads/${id}`)).equals(BYTES)).toBe(true)
    },
  )

  it('with more bytes than are left and a checksum keeps none', async () => {
    const id = await newUpload()
    const headers = { 'Upload-Checksum': `sha1 ${createHash('sha1').update(BYTES).digest('base64')}` }
    const chunked = openPatch(landfall, 'alice', id, { offset: 0, headers })
    await chunked.send(Buffer.concat([BYTES, Buffer.alloc(10)]))
    const refusal = await chunked.answer
    expect([refusal.status, refusal.headers['upload-offset']]).toEqual([413, '0'])
    expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'open' })
    expect(await offsetOf(id)).toBe('0')
  })

  it('with more bytes than may be sent of a deferred length keeps those that may', async () => {
    const small = await startLandfall({
      storage,
      withoutWorker: true,
      env: { UPLOAD_MAX_SIZE: String(SIZE), UPLOAD_MIN_SIZE: '0' },
    })
    try {
      const headers = { 'Upload-Defer-Length': '1' }
      const created = await tusRequest(small, 'alice', { method: 'POST', headers })
      const id = created.headers.location?.split('/').at(-1) ?? ''
      const chunked = openPatch(small, 'alice', id, { offset: 0 })
      await chunked.send(Buffer.concat([BYTES, Buffer.alloc(10)]))
      const refusal = await chunked.answer
      expect([refusal.status, refusal.headers['upload-offset']]).toEqual([413, String(SIZE)])
      expect(await statusOf(small, 'alice', id)).toMatchObject({ state: 'open', offset: SIZE })
    } finally {
      await small.close()
    }
  })

  it.each([
    [6, 'keeps those up to the length, and does not complete it', { state: 'open', offset: SIZE }],
    [8, 'ends the upload, as the draft demands', { state: 'rejected' }],
  ] as const)(
    'of version %i of the draft with more bytes than are left %s',
    async (version, _what, after) => {
      const draft = {
        Authorization: `Bearer ${landfall.token('alice')}`,
        'Upload-Draft-Interop-Version': String(version),
      }
      const created = await rawRequest(landfall, {
        method: 'POST',
        path: '/files',
        headers: { ...draft, 'Upload-Complete': '?0', 'Upload-Length': String(SIZE), 'Content-Length': '0' },
      })
      const path = new URL(created.headers.location ?? '', landfall.url).pathname
      const headers = {
        ...draft,
        'Upload-Complete': '?1',
        'Upload-Offset': '0',
        'Content-Type': 'application/partial-upload',
        'Transfer-Encoding': 'chunked',
      }
      const body = Buffer.concat([BYTES, Buffer.alloc(100)])
      const sent = request(new URL(path, landfall.url), { method: 'PATCH', agent: false, headers })
      const answer = answerOf(sent)
      sent.end(body)
      const refusal = await answer
      expect([refusal.status, problemOf(refusal).code]).toEqual([400, 'inconsistent-length'])
      expect(await statusOf(landfall, 'alice', path.split('/').at(-1) ?? '')).toMatchObject(after)
      if (version === 8) return
      const empty = { ...headers, 'Upload-Offset': String(SIZE), 'Content-Length': '0' }
      const { 'Transfer-Encoding': _, ...rest } = empty
      const last = await rawRequest(landfall, { method: 'PATCH', path, headers: rest })
      expect([last.status, last.headers['upload-complete']]).toEqual([201, '?1'])
    },
  )

  it('to a complete upload adds nothing', async () => {
    const id = await newUpload()
    await append(id, {}, BYTES)
    const answer = await append(id, { 'Upload-Offset': String(SIZE) }, Buffer.from('more'))
    expect([answer.status, problemOf(answer).code]).toEqual([413, 'too-large'])
    expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'received', offset: SIZE })
  })

  it('takes chunks without a Content-Length', async () => {
    const id = await newUpload()
    const chunked = openPatch(landfall, 'alice', id, { offset: 0 })
    for (let at = 0; at < SIZE; at += 500) await chunked.send(BYTES.subarray(at, at + 500))
    chunked.end()
    const answer = await chunked.answer
    expect([answer.status, answer.headers['upload-offset']]).toEqual([204, String(SIZE)])
  })

  it('lets a client that expects it continue before it sends', async () => {
    const id = await newUpload()
    const sent = request(`${landfall.url}/files/${id}`, {
      method: 'PATCH',
      agent: false,
      headers: tusHeaders(landfall, 'alice', {
        Expect: '100-continue',
        'Upload-Offset': '0',
        'Content-Type': OFFSET_STREAM,
        'Content-Length': String(SIZE),
      }),
    })
    const answer = answerOf(sent)
    sent.flushHeaders()
    await once(sent, 'continue')
    sent.end(BYTES)
    expect((await answer).status).toBe(204)
  })

  it('keeps the bytes of its checksum, and of another one none', async () => {
    const id = await newUpload()
    const body = BYTES.subarray(0, 700)
    const sha1Of = (bytes: Uint8Array) => `sha1 ${createHash('sha1').update(bytes).digest('base64')}`
    const wrong = await append(id, { 'Upload-Checksum': sha1Of(BYTES) }, body)
    expect([wrong.status, problemOf(wrong).code]).toEqual([460, 'checksum-mismatch'])
    expect(await offsetOf(id)).toBe('0')
    const right = await append(id, { 'Upload-Checksum': sha1Of(body) }, body)
    expect([right.status, right.headers['upload-offset']]).toEqual([204, '700'])
  })

  it.each(['POST', 'PUT'])('can be sent as a %s where a proxy lets no PATCH through', async (method) => {
    const id = await newUpload()
    const answer = await tusRequest(landfall, 'alice', {
      method,
      at: id,
      headers: { 'X-HTTP-Method-Override': 'PATCH', 'Upload-Offset': '0', 'Content-Type': OFFSET_STREAM },
      body: BYTES.subarray(0, 700),
    })
    expect([answer.status, answer.headers['upload-offset']]).toEqual([204, '700'])
  })

  it('is not possible on the collection', async () => {
    const answer = await tusRequest(landfall, 'alice', { method: 'PATCH' })
    expect([answer.status, answer.headers.allow]).toEqual([405, 'POST, OPTIONS'])
  })
})
