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
  type TusRequest,
  tusHeaders,
  tusRequest,
} from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { quotaOf, statusOf, untilReceived } from './support/status.ts'
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
    ['a length beyond what is allowed', { 'Upload-Length': '500000001' }, 413, 'too-large'],
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

  it('with more bytes than are left is refused, and nothing of it makes the upload complete', async () => {
    const id = await newUpload()
    const declared = await append(id, {}, Buffer.alloc(SIZE + 1))
    expect([declared.status, problemOf(declared).code]).toEqual([413, 'too-large'])
    expect(await offsetOf(id)).toBe('0')

    const chunked = openPatch(landfall, 'alice', id, { offset: 0 })
    await chunked.send(BYTES)
    await untilReceived(landfall, 'alice', id, SIZE)
    await chunked.send(Buffer.alloc(1))
    const refusal = await chunked.answer
    expect([refusal.status, problemOf(refusal).code]).toEqual([413, 'too-large'])
    expect(await offsetOf(id)).toBe('0')
    expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'open' })
  })

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
