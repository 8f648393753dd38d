import { randomBytes, randomUUID } from 'node:crypto'
import { afterEach, expect, it } from 'vitest'
import { asUploadId } from './support/ids.ts'
import { type Landfall, type LandfallOptions, startLandfall } from './support/landfall.ts'
import { openPatch, problemOf, rawRequest } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { statusOf, untilReceived } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { createId, head, patch } from './support/tus.ts'

/** Well under the fifteen seconds that a holder is waited for which does not answer; one that does takes a quarter of a second. */
const QUICK_MS = 8_000

describeStorages('the lease on an upload', (storage) => {
  const started: Landfall[] = []
  afterEach(async () => {
    for (const landfall of started.splice(0).reverse()) await landfall.close()
  })

  async function start(options: LandfallOptions = {}): Promise<Landfall> {
    const landfall = await startLandfall({ storage, withoutWorker: true, ...options })
    started.push(landfall)
    return landfall
  }
  async function startTwo(): Promise<[Landfall, Landfall]> {
    const first = await start()
    return [first, await start({ beside: first })]
  }
  const stored = (landfall: Landfall, id: string) => landfall.stored.bytes(`uploads/${id}`)

  async function stallAt(landfall: Landfall, id: string, offset: number, bytes: Uint8Array) {
    const open = openPatch(landfall, 'alice', id, { offset })
    await open.send(bytes)
    await untilReceived(landfall, 'alice', id, offset + bytes.byteLength)
    return open
  }

  it('passes from a stalled PATCH to a HEAD at once, with every byte that arrived', async () => {
    const landfall = await start()
    const bytes = asJpeg(randomBytes(50_000))
    const id = await createId(landfall, 'alice', { size: bytes.length })
    const stalled = await stallAt(landfall, id, 0, bytes.subarray(0, 12_340))

    const askedAt = performance.now()
    const answer = await head(landfall, 'alice', id)
    expect(performance.now() - askedAt).toBeLessThan(QUICK_MS)
    expect([answer.status, answer.headers.get('Upload-Offset')]).toEqual([200, '12340'])
    // Its holder is told how far it got.
    expect((await stalled.answer).headers['upload-offset']).toBe('12340')

    const rest = await patch(landfall, 'alice', id, { offset: 12_340, body: bytes.subarray(12_340) })
    expect(rest.status).toBe(204)
    expect(await stored(landfall, id)).toEqual(bytes)
  })

  it('passes from a stalled PATCH to another PATCH at once', async () => {
    const landfall = await start()
    const bytes = asJpeg(randomBytes(50_000))
    const id = await createId(landfall, 'alice', { size: bytes.length })
    const stalled = await stallAt(landfall, id, 0, bytes.subarray(0, 12_340))

    const askedAt = performance.now()
    const answer = await patch(landfall, 'alice', id, { offset: 12_340, body: bytes.subarray(12_340) })
    expect(performance.now() - askedAt).toBeLessThan(QUICK_MS)
    expect(answer.status).toBe(204)
    await stalled.answer
    expect(await stored(landfall, id)).toEqual(bytes)
  })

  it('passes from a stalled PATCH that has not sent enough for anybody to tell what it is', async () => {
    const landfall = await start()
    const bytes = asJpeg(randomBytes(50_000))
    const id = await createId(landfall, 'alice', { size: bytes.length })
    const stalled = openPatch(landfall, 'alice', id, { offset: 0 })
    await stalled.send(bytes.subarray(0, 700))
    await expect.poll(async () => await hasLease(landfall, id)).toBe(true)

    const answer = await head(landfall, 'alice', id)
    expect([answer.status, answer.headers.get('Upload-Offset')]).toEqual([200, '700'])
    expect((await stalled.answer).headers['upload-offset']).toBe('700')
    const rest = await patch(landfall, 'alice', id, { offset: 700, body: bytes.subarray(700) })
    expect(rest.status).toBe(204)
    expect(await stored(landfall, id)).toEqual(bytes)
  })

  it('is nothing a stranger can take: a stalled PATCH goes on undisturbed', async () => {
    const landfall = await start()
    const bytes = asJpeg(randomBytes(50_000))
    const id = await createId(landfall, 'alice', { size: bytes.length })
    const stalled = await stallAt(landfall, id, 0, bytes.subarray(0, 12_340))
    expect((await head(landfall, 'mallory', id)).status).toBe(404)
    await stalled.send(bytes.subarray(12_340))
    stalled.end()
    expect((await stalled.answer).status).toBe(204)
    expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'received' })
  })

  it('follows a client that switches between two nodes on every request', async () => {
    const nodes = await startTwo()
    const bytes = asJpeg(randomBytes(400_000))
    const id = await createId(nodes[0], 'alice', { size: bytes.length })
    let offset = 0
    for (let round = 0; offset < bytes.length; round++) {
      const [here, there] = round % 2 === 0 ? nodes : ([nodes[1], nodes[0]] as const)
      const part = bytes.subarray(offset, offset + 35_000)
      const isStalled = round % 3 === 0 && part.length > 10_000
      if (isStalled) await stallAt(here, id, offset, part.subarray(0, 9_999))
      else expect((await patch(here, 'alice', id, { offset, body: part })).status).toBe(204)
      const answer = await head(there, 'alice', id)
      expect(answer.status).toBe(200)
      const now = Number(answer.headers.get('Upload-Offset'))
      expect(now).toBe(offset + (isStalled ? 9_999 : part.length))
      offset = now
    }
    expect(await stored(nodes[0], id)).toEqual(bytes)
    expect(await statusOf(nodes[1], 'alice', id)).toMatchObject({ state: 'received', percent: 100 })
  })

  it('passes from a PATCH on one node to a PATCH on the other as quickly', async () => {
    const [here, there] = await startTwo()
    const bytes = asJpeg(randomBytes(50_000))
    const id = await createId(here, 'alice', { size: bytes.length })
    await stallAt(here, id, 0, bytes.subarray(0, 12_340))
    const askedAt = performance.now()
    const answer = await patch(there, 'alice', id, { offset: 12_340, body: bytes.subarray(12_340) })
    expect(performance.now() - askedAt).toBeLessThan(QUICK_MS)
    expect(answer.status).toBe(204)
    expect(await stored(here, id)).toEqual(bytes)
  })

  const lost: [how: string, what: string, sent: number, lose: (landfall: Landfall, id: string) => unknown][] =
    [
      ['taken away', 'a part', 30_000, forgetLease],
      ['taken away', 'the last byte', 50_000, forgetLease],
      ['taken over', 'a part', 30_000, handOverLease],
      ['taken over', 'the last byte', 50_000, handOverLease],
    ]

  it.each(lost)(
    'once %s lets its former holder commit nothing, were it %s',
    async (_how, _what, sent, lose) => {
      const landfall = await start()
      const bytes = asJpeg(randomBytes(50_000))
      const id = await createId(landfall, 'alice', { size: bytes.length })
      const stale = await stallAt(landfall, id, 0, bytes.subarray(0, 12_340))
      await lose(landfall, id)
      await stale.send(bytes.subarray(12_340, sent))
      stale.end()
      const answer = await stale.answer
      expect([answer.status, problemOf(answer).code]).toEqual([423, 'locked'])
      expect(await ledgerRow(landfall, id)).toEqual({ state: 'open', offset: 0, media_id: null })

      await forgetLease(landfall, id)
      expect((await head(landfall, 'alice', id)).headers.get('Upload-Offset')).toBe('0')
      const again = await patch(landfall, 'alice', id, { offset: 0, body: bytes })
      expect(again.status).toBe(204)
      expect(await stored(landfall, id)).toEqual(bytes)
    },
  )

  it('gives every one of many contenders on two nodes its turn', async () => {
    const nodes = await startTwo()
    const bytes = asJpeg(randomBytes(50_000))
    const id = await createId(nodes[0], 'alice', { size: bytes.length })
    await stallAt(nodes[0], id, 0, bytes.subarray(0, 12_340))
    const answers = await Promise.all(
      Array.from({ length: 24 }, (_, index) => head(nodes[index % 2 === 0 ? 0 : 1], 'alice', id)),
    )
    expect(answers.map((answer) => [answer.status, answer.headers.get('Upload-Offset')])).toEqual(
      answers.map(() => [200, '12340']),
    )

    const writers = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        patch(nodes[index % 2 === 0 ? 0 : 1], 'alice', id, { offset: 12_340, body: bytes.subarray(12_340) }),
      ),
    )
    expect(writers.map(({ status }) => status).toSorted()).toEqual([204, ...Array(7).fill(409)])
    expect(await stored(nodes[0], id)).toEqual(bytes)
  })

  it('ends with its connection, and what arrived is kept', async () => {
    const landfall = await start()
    const bytes = asJpeg(randomBytes(2_000_000))
    const id = await createId(landfall, 'alice', { size: bytes.length })
    const broken = await stallAt(landfall, id, 0, bytes.subarray(0, 1_234_567))
    broken.disconnect()
    const answer = await head(landfall, 'alice', id)
    expect([answer.status, answer.headers.get('Upload-Offset')]).toEqual([200, '1234567'])
    const rest = await patch(landfall, 'alice', id, { offset: 1_234_567, body: bytes.subarray(1_234_567) })
    expect(rest.status).toBe(204)
    expect(await stored(landfall, id)).toEqual(bytes)
  })

  it('holds no database connection: ten stalled PATCHes leave a pool of two to everybody else', async () => {
    const landfall = await start({ env: { DATABASE_POOL: '2', UPLOAD_MAX_OPEN: '20' } })
    const size = 50_000
    const stalled = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const id = await createId(landfall, 'alice', { size })
        return await stallAt(landfall, id, 0, asJpeg(Buffer.alloc(10_000)))
      }),
    )
    const askedAt = performance.now()
    expect((await rawRequest(landfall, { method: 'GET', path: '/readyz' })).status).toBe(200)
    const id = await createId(landfall, 'bob', { size })
    const answer = await patch(landfall, 'bob', id, { offset: 0, body: asJpeg(Buffer.alloc(size)) })
    expect(answer.status).toBe(204)
    expect((await landfall.as('alice')('/api/v1/uploads')).status).toBe(200)
    expect(performance.now() - askedAt).toBeLessThan(QUICK_MS)

    for (const open of stalled) open.end()
    const answers = await Promise.all(stalled.map((open) => open.answer))
    expect(answers.map(({ headers }) => headers['upload-offset'])).toEqual(answers.map(() => '10000'))
  })
})

async function hasLease(landfall: Landfall, id: string): Promise<boolean> {
  const rows = landfall.db
    .selectFrom('landfall.upload_locks')
    .select('holder')
    .where('upload_id', '=', asUploadId(id))
  return (await rows.execute()).length > 0
}

async function forgetLease(landfall: Landfall, id: string): Promise<void> {
  await landfall.db.deleteFrom('landfall.upload_locks').where('upload_id', '=', asUploadId(id)).execute()
}

async function handOverLease(landfall: Landfall, id: string): Promise<void> {
  const { numUpdatedRows } = await landfall.db
    .updateTable('landfall.upload_locks')
    .set({ fence: randomUUID(), holder: 'another node' })
    .where('upload_id', '=', asUploadId(id))
    .executeTakeFirstOrThrow()
  if (numUpdatedRows !== 1n) throw new Error('nobody held the lease')
}

async function ledgerRow(landfall: Landfall, id: string) {
  return await landfall.db
    .selectFrom('landfall.uploads')
    .select(['state', 'offset', 'media_id'])
    .where('id', '=', asUploadId(id))
    .executeTakeFirst()
}
