import { afterAll, beforeAll, expect, it } from 'vitest'
import { requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { tusRequest } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { NOTHING_USED, quotaOf, statusOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { leftBehind } from './support/stored.ts'
import { head, patch } from './support/tus.ts'
import { outcome } from './support/uploads.ts'

const MAX_SIZE = 10_000
const BYTES = asJpeg(Buffer.from('0123456789'.repeat(200)))

describeStorages('an upload whose length is deferred', (storage) => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({
      storage,
      withoutWorker: true,
      env: { UPLOAD_MAX_OPEN: '1000', UPLOAD_MAX_SIZE: String(MAX_SIZE) },
    })
  })
  afterAll(() => landfall?.close())

  async function createDeferred(sub: string): Promise<string> {
    const headers = { 'Upload-Defer-Length': '1' }
    const answer = await tusRequest(landfall, sub, { method: 'POST', headers })
    expect(answer.status).toBe(201)
    return answer.headers.location?.split('/').at(-1) ?? ''
  }
  const declare = (sub: string, id: string, offset: number, length: number, body = BYTES.subarray(0, 0)) =>
    patch(landfall, sub, id, { offset, body, headers: { 'Upload-Length': String(length) } })

  it('takes bytes, then its length, and finishes with the last byte', async () => {
    const id = await createDeferred('alice')
    expect((await quotaOf(landfall, 'alice')).bytes.reserved).toBe(MAX_SIZE)
    const first = await patch(landfall, 'alice', id, { offset: 0, body: BYTES.subarray(0, 700) })
    expect([first.status, first.headers.get('Upload-Offset')]).toEqual([204, '700'])

    const declared = await declare('alice', id, 700, BYTES.length)
    expect([declared.status, declared.headers.get('Upload-Offset')]).toEqual([204, '700'])
    expect((await quotaOf(landfall, 'alice')).bytes.reserved).toBe(BYTES.length)
    expect((await head(landfall, 'alice', id)).headers.get('Upload-Length')).toBe(String(BYTES.length))

    const last = await patch(landfall, 'alice', id, { offset: 700, body: BYTES.subarray(700) })
    expect(last.headers.get('Upload-Media-Id')).toMatch(/./)
    expect(await landfall.stored.bytes(`uploads/${id}`)).toEqual(BYTES)
    expect((await quotaOf(landfall, 'alice')).bytes).toEqual({ used: BYTES.length, reserved: 0 })
  })

  it('finishes when its length is declared as what has arrived', async () => {
    const id = await createDeferred('bob')
    await patch(landfall, 'bob', id, { offset: 0, body: BYTES })
    const answer = await declare('bob', id, BYTES.length, BYTES.length)
    expect([answer.status, answer.headers.get('Upload-Offset')]).toEqual([204, String(BYTES.length)])
    expect(answer.headers.get('Upload-Media-Id')).toMatch(/./)
    expect(await statusOf(landfall, 'bob', id)).toMatchObject({ state: 'received', size: BYTES.length })
  })

  it('takes the same length again from a client that resumes, and no other', async () => {
    const id = await createDeferred('dora')
    await declare('dora', id, 0, BYTES.length, BYTES.subarray(0, 700))
    expect((await declare('dora', id, 700, BYTES.length + 1)).status).toBe(400)
    const again = await declare('dora', id, 700, BYTES.length, BYTES.subarray(700))
    expect([again.status, again.headers.get('Upload-Offset')]).toEqual([204, String(BYTES.length)])
    expect(await statusOf(landfall, 'dora', id)).toMatchObject({ state: 'received' })
  })

  it('finishes when length and all bytes come in one request', async () => {
    const id = await createDeferred('carol')
    const answer = await declare('carol', id, 0, BYTES.length, BYTES)
    expect([answer.status, answer.headers.get('Upload-Offset')]).toEqual([204, String(BYTES.length)])
    expect(await statusOf(landfall, 'carol', id)).toMatchObject({ state: 'received' })
  })

  it.each([
    ['less than has arrived', 1500, 400, 'invalid-header'],
    ['more than is allowed', MAX_SIZE + 1, 413, 'too-large'],
    ['less than is allowed', 999, 400, 'too-small'],
  ])('does not take %s for its length', async (what, length, status, code) => {
    const id = await createDeferred(what)
    await patch(landfall, what, id, { offset: 0, body: BYTES })
    const answer = await declare(what, id, BYTES.length, length)
    expect([answer.status, await answer.json()]).toEqual([status, expect.objectContaining({ code })])
    expect((await head(landfall, what, id)).headers.get('Upload-Defer-Length')).toBe('1')
  })

  it('never takes more than is allowed while nobody knows its length', async () => {
    const id = await createDeferred('dora')
    const answer = await patch(landfall, 'dora', id, { offset: 0, body: Buffer.alloc(MAX_SIZE + 1) })
    expect(answer.status).toBe(413)
    expect(await statusOf(landfall, 'dora', id)).toMatchObject({ state: 'open', offset: 0 })
  })
})

const clamd = requires('clamd')

describeStorages.skipIf(!clamd.met)('an empty file', (storage) => {
  it('is complete as it is created, and ends rejected', async () => {
    const landfall = await startLandfall({ storage, env: { UPLOAD_MIN_SIZE: '0' } })
    try {
      const answer = await tusRequest(landfall, 'alice', {
        method: 'POST',
        headers: { 'Upload-Length': '0' },
      })
      expect(answer.status).toBe(201)
      expect(answer.headers['upload-media-id']).toMatch(/^[\w-]{22}$/)
      const id = answer.headers.location?.split('/').at(-1) ?? ''
      expect(await outcome(landfall, 'alice', id)).toMatchObject({
        status: 'rejected',
        size: 0,
        reason: { code: 'type-not-recognised' },
      })
      expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'rejected', percent: 100 })
      await expect.poll(() => leftBehind(landfall), { timeout: 10_000 }).toEqual([])
      expect(await quotaOf(landfall, 'alice')).toEqual(NOTHING_USED)
    } finally {
      await landfall.close()
    }
  })

  it('may be followed by a PATCH without bytes, which finishes nothing twice', async () => {
    const landfall = await startLandfall({ storage, env: { UPLOAD_MIN_SIZE: '0' }, withoutWorker: true })
    try {
      const created = await tusRequest(landfall, 'alice', {
        method: 'POST',
        headers: { 'Upload-Length': '0' },
      })
      const id = created.headers.location?.split('/').at(-1) ?? ''
      const answer = await patch(landfall, 'alice', id, { offset: 0, body: new Uint8Array() })
      expect(answer.status).toBe(204)
      expect(answer.headers.get('Upload-Media-Id')).toBe(created.headers['upload-media-id'])
      expect((await quotaOf(landfall, 'alice')).uploads).toEqual({ finished: 1, open: 0 })
    } finally {
      await landfall.close()
    }
  })
})
