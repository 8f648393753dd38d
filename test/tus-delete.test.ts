import { afterAll, beforeAll, expect, it } from 'vitest'
import { stateChanges } from './support/event-log.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { openPatch, problemOf, tusRequest } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { NOTHING_USED, quotaOf, statusOf, untilReceived } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { leftBehind } from './support/stored.ts'
import { create, createId, head, idOf, patch, terminate } from './support/tus.ts'

const SIZE = 20_000
const BYTES = asJpeg(Buffer.alloc(SIZE, 'x'))

describeStorages('DELETE /files/:id', (storage) => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ storage, env: { UPLOAD_MAX_OPEN: '1000' } })
  })
  afterAll(() => landfall?.close())

  it('ends the upload, removes its bytes and gives the quota back', async () => {
    const id = await createId(landfall, 'alice', { size: SIZE })
    await patch(landfall, 'alice', id, { offset: 0, body: BYTES.subarray(0, 7000) })
    // In a bucket they are a tail, whose key begins with the upload's.
    expect(await landfall.stored.keys()).toEqual([expect.stringContaining(`uploads/${id}`)])

    const answer = await tusRequest(landfall, 'alice', { method: 'DELETE', at: id })
    expect([answer.status, answer.body]).toEqual([204, ''])
    expect(answer.headers['tus-resumable']).toBe('1.0.0')
    expect(answer.headers['upload-expires']).toBeUndefined()
    expect(await quotaOf(landfall, 'alice')).toEqual(NOTHING_USED)
    expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'terminated' })
    await expect.poll(() => leftBehind(landfall), { timeout: 10_000 }).toEqual([])
    const changes = await stateChanges(landfall, 'alice', id)
    expect(changes.map(({ type }) => type)).toEqual(['upload.created', 'upload.terminated'])
  })

  it('is final: everything after it answers 410 upload-terminated', async () => {
    const id = await createId(landfall, 'alice', { size: SIZE })
    await terminate(landfall, 'alice', id)
    expect((await head(landfall, 'alice', id)).status).toBe(410)
    for (const answer of [
      await patch(landfall, 'alice', id, { offset: 0, body: BYTES }),
      await terminate(landfall, 'alice', id),
    ]) {
      expect(answer.status).toBe(410)
      expect(await answer.json()).toMatchObject({ code: 'upload-terminated' })
    }
    expect(await quotaOf(landfall, 'alice')).toEqual(NOTHING_USED)
  })

  it('can be sent as a POST where a proxy lets no DELETE through', async () => {
    const id = await createId(landfall, 'alice', { size: SIZE })
    const headers = { 'X-HTTP-Method-Override': 'DELETE' }
    expect((await tusRequest(landfall, 'alice', { method: 'POST', at: id, headers })).status).toBe(204)
    expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'terminated' })
  })

  it('stops a PATCH that is under way, which leaves nothing behind', async () => {
    const id = await createId(landfall, 'alice', { size: SIZE })
    const open = openPatch(landfall, 'alice', id, { offset: 0 })
    await open.send(BYTES.subarray(0, 7000))
    await untilReceived(landfall, 'alice', id, 7000)
    expect((await terminate(landfall, 'alice', id)).status).toBe(204)
    await open.answer
    expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'terminated' })
    await expect.poll(() => leftBehind(landfall), { timeout: 10_000 }).toEqual([])
  })

  it.each([
    ['no Tus-Resumable', { 'Tus-Resumable': undefined }, 412, 'unsupported-version'],
    ['no token', { Authorization: undefined }, 401, 'token-missing'],
  ])('with %s is refused', async (_what, headers, status, code) => {
    const id = await createId(landfall, 'carol', { size: SIZE })
    const answer = await tusRequest(landfall, 'carol', { method: 'DELETE', at: id, headers })
    expect([answer.status, problemOf(answer).code]).toEqual([status, code])
    expect(await statusOf(landfall, 'carol', id)).toMatchObject({ state: 'open' })
  })

  it('by a stranger is the same as of nothing', async () => {
    const id = await createId(landfall, 'carol', { size: SIZE })
    for (const at of [id, 'A'.repeat(22), 'x']) {
      const answer = await tusRequest(landfall, 'mallory', { method: 'DELETE', at })
      expect([answer.status, problemOf(answer).code]).toEqual([404, 'not-found'])
    }
    expect(await statusOf(landfall, 'carol', id)).toMatchObject({ state: 'open' })
  })

  it('is not possible on the collection', async () => {
    const answer = await tusRequest(landfall, 'alice', { method: 'DELETE' })
    expect([answer.status, answer.headers.allow]).toEqual([405, 'POST, OPTIONS'])
  })
})

describeStorages('DELETE of a received upload', (storage) => {
  it('deletes its media, whose bytes stay and count until it is purged', async () => {
    const landfall = await startLandfall({ storage, withoutWorker: true })
    try {
      const id = idOf(await create(landfall, 'alice', { size: SIZE, body: BYTES }))
      const { mediaId } = await statusOf(landfall, 'alice', id)
      const used = await quotaOf(landfall, 'alice')
      expect((await terminate(landfall, 'alice', id)).status).toBe(204)
      expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'terminated' })
      expect((await head(landfall, 'alice', id)).status).toBe(410)
      expect((await landfall.as('alice')(`/api/v1/media/${mediaId}`)).status).toBe(404)
      expect(await landfall.stored.keys()).toEqual([`uploads/${id}`])
      expect(await quotaOf(landfall, 'alice')).toEqual(used)
    } finally {
      await landfall.close()
    }
  })
})
