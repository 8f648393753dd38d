import { afterAll, beforeAll, expect, it } from 'vitest'
import { asUploadId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { problemOf, type TusRequest, tusRequest } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { statusOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { create, createId, head, idOf, metadataHeader, patch, terminate } from './support/tus.ts'

const SIZE = 2000
const BYTES = asJpeg(Buffer.alloc(SIZE, 'x'))

describeStorages('HEAD /files/:id', (storage) => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ storage, withoutWorker: true, env: { UPLOAD_MAX_OPEN: '1000' } })
  })
  afterAll(() => landfall?.close())

  const ask = (sub: string, at: string, headers: TusRequest['headers'] = {}) =>
    tusRequest(landfall, sub, { method: 'HEAD', at, headers })

  it('tells offset, length and metadata, and is not to be cached', async () => {
    const metadata = { filename: 'Käse.mp4', name: 'Käse.mp4', relativePath: 'null', empty: '' }
    const id = await createId(landfall, 'alice', { size: SIZE, metadata })
    await patch(landfall, 'alice', id, { offset: 0, body: BYTES.subarray(0, 700) })
    const answer = await ask('alice', id)
    expect([answer.status, answer.body]).toEqual([200, ''])
    expect(answer.headers).toMatchObject({
      'tus-resumable': '1.0.0',
      'upload-offset': '700',
      'upload-length': String(SIZE),
      'cache-control': 'no-store',
    })
    expect(answer.headers['upload-defer-length']).toBeUndefined()
    const sent = metadataHeader(metadata).split(',')
    // An empty value may come back without the space in front of it.
    const received = String(answer.headers['upload-metadata']).split(',')
    expect(received.map((pair) => pair.trim()).toSorted()).toEqual(sent.map((pair) => pair.trim()).toSorted())
  })

  it('has no metadata to tell where none was sent', async () => {
    const id = await createId(landfall, 'alice', { size: SIZE })
    expect((await ask('alice', id)).headers['upload-metadata'] ?? '').toBe('')
  })

  it('tells that the length is deferred, until it is declared', async () => {
    const created = await tusRequest(landfall, 'alice', {
      method: 'POST',
      headers: { 'Upload-Defer-Length': '1' },
    })
    const id = created.headers.location?.split('/').at(-1) ?? ''
    const before = await ask('alice', id)
    expect(before.headers).toMatchObject({ 'upload-defer-length': '1', 'upload-offset': '0' })
    expect(before.headers['upload-length']).toBeUndefined()
    await patch(landfall, 'alice', id, {
      offset: 0,
      body: BYTES.subarray(0, 1),
      headers: { 'Upload-Length': String(SIZE) },
    })
    const after = await ask('alice', id)
    expect(after.headers).toMatchObject({ 'upload-length': String(SIZE), 'upload-offset': '1' })
    expect(after.headers['upload-defer-length']).toBeUndefined()
  })

  it.each([
    ['no Tus-Resumable', { 'Tus-Resumable': undefined }, 412],
    ['another version', { 'Tus-Resumable': '2.0.0' }, 412],
    ['no token', { Authorization: undefined }, 401],
    ['a token that is none', { Authorization: 'Bearer abc' }, 401],
  ])('with %s is refused', async (_what, headers, status) => {
    const id = await createId(landfall, 'alice', { size: SIZE })
    const answer = await ask('alice', id, headers)
    expect(answer.status).toBe(status)
    expect(answer.headers['tus-version']).toBe(status === 412 ? '1.0.0' : undefined)
    expect(answer.headers['upload-offset']).toBeUndefined()
  })

  it('tells a stranger the same as for an upload that never was', async () => {
    const id = await createId(landfall, 'alice', { size: SIZE })
    const constant = ({ status, headers }: Awaited<ReturnType<typeof ask>>) => {
      const { date, 'x-request-id': requestId, ...rest } = headers
      return { status, headers: rest }
    }
    const strangers = constant(await ask('mallory', id))
    expect(strangers.status).toBe(404)
    expect(constant(await ask('mallory', 'A'.repeat(22)))).toEqual(strangers)
    for (const odd of ['x', '..%2F..%2Fetc%2Fpasswd', '%00', 'A'.repeat(23)]) {
      expect((await ask('mallory', odd)).status).toBe(404)
    }
  })

  it('finds an upload whose address carries a query', async () => {
    const id = await createId(landfall, 'alice', { size: SIZE })
    expect((await ask('alice', `${id}?from=proxy`)).status).toBe(200)
  })

  it('is the only way to look at an upload: GET asks for its file, which is not ready', async () => {
    const open = await createId(landfall, 'alice', { size: SIZE })
    const received = idOf(await create(landfall, 'alice', { size: SIZE, body: BYTES }))
    for (const at of [open, received]) {
      const answer = await tusRequest(landfall, 'alice', { method: 'GET', at })
      expect([answer.status, problemOf(answer).code]).toEqual([409, 'not-ready'])
    }
    const strangers = await tusRequest(landfall, 'mallory', { method: 'GET', at: received })
    expect([strangers.status, problemOf(strangers).code]).toEqual([404, 'not-found'])
  })

  it('knows which methods an upload has: others are not possible', async () => {
    const id = await createId(landfall, 'alice', { size: SIZE })
    const answer = await tusRequest(landfall, 'alice', { method: 'PUT', at: id })
    expect([answer.status, answer.headers.allow]).toEqual([405, 'GET, HEAD, PATCH, DELETE, OPTIONS'])
    expect(problemOf(answer).code).toBe('method-not-allowed')
  })

  it('answers 410 once the upload has expired', async () => {
    const id = await createId(landfall, 'alice', { size: SIZE })
    await expire(id)
    expect((await ask('alice', id)).status).toBe(410)
    const refusal = await patch(landfall, 'alice', id, { offset: 0, body: BYTES })
    expect(refusal.status).toBe(410)
    expect(await refusal.json()).toMatchObject({ code: 'upload-expired' })
    expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'expired', offset: 0 })
  })

  it('still answers for a completed upload long after it would have expired', async () => {
    const created = await create(landfall, 'alice', { size: SIZE, body: BYTES })
    const id = idOf(created)
    await expire(id)
    const answer = await head(landfall, 'alice', id)
    expect([answer.status, answer.headers.get('Upload-Offset')]).toEqual([200, String(SIZE)])
    expect(answer.headers.get('Upload-Expires')).toBeNull()
    expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'received' })
  })

  it('answers 410 after termination', async () => {
    const id = await createId(landfall, 'alice', { size: SIZE })
    await terminate(landfall, 'alice', id)
    expect((await ask('alice', id)).status).toBe(410)
  })

  async function expire(id: string): Promise<void> {
    const anHour = 3_600_000
    await landfall.db
      .updateTable('landfall.uploads')
      .set({ created_at: new Date(Date.now() - 25 * anHour), expires_at: new Date(Date.now() - anHour) })
      .where('id', '=', asUploadId(id))
      .execute()
  }
})
