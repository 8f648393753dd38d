import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { asOwnerId, asUploadId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { openAppend } from './support/open-append.ts'
import { tusHeaders } from './support/raw-http.ts'
import { asJpeg, asPng } from './support/sample-bytes.ts'
import { NOTHING_USED, quotaOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { create, createId, head, idOf, patch, terminate } from './support/tus.ts'
import { outcome } from './support/uploads.ts'

type Refused = { code: string; limit?: number; used?: number; reserved?: number; open?: number }

const refusalOf = async (response: Response) => (await response.json()) as Refused

/** As if the upload had been left alone for so long. */
async function touchedAgo(landfall: Landfall, id: string, seconds: number): Promise<void> {
  const then = sql<Date>`now() - make_interval(secs => ${seconds})`
  await landfall.db
    .updateTable('landfall.uploads')
    .set({ updated_at: then })
    .where('id', '=', asUploadId(id))
    .execute()
}

async function isLeased(landfall: Landfall, id: string): Promise<boolean> {
  const leases = await landfall.db
    .selectFrom('landfall.upload_locks')
    .selectAll()
    .where('upload_id', '=', asUploadId(id))
    .execute()
  return leases.length > 0
}

/** Creates an upload whose length is not known yet. */
async function createDeferred(landfall: Landfall, sub: string): Promise<Response> {
  return await fetch(`${landfall.url}/files`, {
    method: 'POST',
    headers: tusHeaders(landfall, sub, { 'Upload-Defer-Length': '1' }),
  })
}

describeStorages('a quota of bytes', (storage) => {
  const SIZE = 2000
  const ROOM_FOR = 10
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({
      storage,
      withoutWorker: true,
      env: { QUOTA_BYTES: String(SIZE * ROOM_FOR), UPLOAD_MAX_OPEN: '1000', UPLOAD_MAX_SIZE: '10000' },
    })
  })
  afterAll(() => landfall?.close())

  const createMany = (sub: string, count: number) =>
    Promise.all(Array.from({ length: count }, () => create(landfall, sub, { size: SIZE })))

  it('is never overbooked by parallel creations, and is whole again when they are terminated', async () => {
    for (const _round of [1, 2]) {
      const answers = await createMany('parallel', 20)
      const created = answers.filter((answer) => answer.status === 201)
      const refused = answers.filter((answer) => answer.status !== 201)
      expect(created).toHaveLength(ROOM_FOR)
      expect(refused.map((answer) => answer.status)).toEqual(Array(10).fill(413))
      for (const answer of refused) {
        expect(await refusalOf(answer)).toMatchObject({
          code: 'quota-bytes-exceeded',
          limit: SIZE * ROOM_FOR,
          used: 0,
          reserved: expect.any(Number),
        })
      }
      expect(await quotaOf(landfall, 'parallel')).toEqual({
        bytes: { used: 0, reserved: SIZE * ROOM_FOR },
        uploads: { finished: 0, open: ROOM_FOR },
      })
      const ended = await Promise.all(created.map((answer) => terminate(landfall, 'parallel', idOf(answer))))
      expect(ended.map((answer) => answer.status)).toEqual(Array(ROOM_FOR).fill(204))
      expect(await quotaOf(landfall, 'parallel')).toEqual(NOTHING_USED)
    }
  })

  it('is charged when an upload finishes, for what was held until then', async () => {
    const id = await createId(landfall, 'finisher', { size: SIZE })
    await patch(landfall, 'finisher', id, { offset: 0, body: asJpeg(Buffer.alloc(SIZE - 1)) })
    expect(await quotaOf(landfall, 'finisher')).toEqual({
      bytes: { used: 0, reserved: SIZE },
      uploads: { finished: 0, open: 1 },
    })
    const last = () => patch(landfall, 'finisher', id, { offset: SIZE - 1, body: Buffer.alloc(1) })
    expect((await last()).status).toBe(204)
    const charged = { bytes: { used: SIZE, reserved: 0 }, uploads: { finished: 1, open: 0 } }
    expect(await quotaOf(landfall, 'finisher')).toEqual(charged)
    // The client that did not get the answer sends its last request again.
    await last()
    await patch(landfall, 'finisher', id, { offset: SIZE, body: new Uint8Array() })
    expect(await quotaOf(landfall, 'finisher')).toEqual(charged)
    const refused = await create(landfall, 'finisher', { size: SIZE * ROOM_FOR - SIZE + 1 })
    expect(refused.status).toBe(413)
  })

  it('counts what is used and what is reserved together', async () => {
    const body = asJpeg(Buffer.alloc(8000))
    await create(landfall, 'both', { size: 8000, body })
    await create(landfall, 'both', { size: 8000 })
    expect(await refusalOf(await create(landfall, 'both', { size: 4001 }))).toMatchObject({
      code: 'quota-bytes-exceeded',
      limit: 20_000,
      used: 8000,
      reserved: 8000,
    })
    expect((await create(landfall, 'both', { size: 4000 })).status).toBe(201)
  })

  it('holds the largest size for a length to be declared later, then what is declared', async () => {
    const response = await createDeferred(landfall, 'deferrer')
    expect(response.status).toBe(201)
    expect((await quotaOf(landfall, 'deferrer')).bytes).toEqual({ used: 0, reserved: 10_000 })
    const declare = await patch(landfall, 'deferrer', idOf(response), {
      offset: 0,
      body: asJpeg(Buffer.alloc(100)),
      headers: { 'Upload-Length': '3000' },
    })
    expect(declare.status).toBe(204)
    expect((await quotaOf(landfall, 'deferrer')).bytes).toEqual({ used: 0, reserved: 3000 })
    await patch(landfall, 'deferrer', idOf(response), { offset: 100, body: Buffer.alloc(2900) })
    expect((await quotaOf(landfall, 'deferrer')).bytes).toEqual({ used: 3000, reserved: 0 })
  })

  it('refuses a deferred length that the largest size would not fit', async () => {
    expect((await createDeferred(landfall, 'lazy')).status).toBe(201)
    expect((await createDeferred(landfall, 'lazy')).status).toBe(201)
    const refused = await createDeferred(landfall, 'lazy')
    expect([refused.status, (await refusalOf(refused)).code]).toEqual([413, 'quota-bytes-exceeded'])
  })

  it('is released once, however many times an upload is terminated', async () => {
    const keep = await createId(landfall, 'terminator', { size: SIZE })
    const id = await createId(landfall, 'terminator', { size: SIZE })
    const answers = await Promise.all([1, 2, 3].map(() => terminate(landfall, 'terminator', id)))
    expect(answers.map((answer) => answer.status).sort()).toEqual([204, 410, 410])
    expect((await terminate(landfall, 'terminator', id)).status).toBe(410)
    expect((await quotaOf(landfall, 'terminator')).bytes).toEqual({ used: 0, reserved: SIZE })
    expect(keep).not.toBe(id)
  })

  it('keeps counting a finished upload that is terminated, for its bytes stay until they are purged', async () => {
    const id = idOf(await create(landfall, 'deleter', { size: SIZE, body: asJpeg(Buffer.alloc(SIZE)) }))
    expect((await terminate(landfall, 'deleter', id)).status).toBe(204)
    expect((await quotaOf(landfall, 'deleter')).bytes).toEqual({ used: SIZE, reserved: 0 })
  })

  it('of an owner may be another than the default, larger or smaller', async () => {
    await landfall.db
      .insertInto('landfall.quotas')
      .values([
        { owner_id: asOwnerId('rich'), bytes_limit: SIZE * 15, uploads_limit: null },
        { owner_id: asOwnerId('poor'), bytes_limit: SIZE, uploads_limit: null },
        { owner_id: asOwnerId('barred'), bytes_limit: 0, uploads_limit: null },
        { owner_id: asOwnerId('as-usual'), bytes_limit: null, uploads_limit: null },
      ])
      .execute()
    const created = async (sub: string) =>
      (await createMany(sub, 20)).filter((answer) => answer.status === 201).length
    expect(await created('rich')).toBe(15)
    expect(await created('poor')).toBe(1)
    expect(await created('barred')).toBe(0)
    expect(await created('as-usual')).toBe(ROOM_FOR)
  })
})

describe('a limit on open uploads', () => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '5' } })
  })
  afterAll(() => landfall?.close())

  it('refuses the sixth until one of the five has ended, and says when to come again', async () => {
    const ids: string[] = []
    for (let i = 0; i < 5; i++) ids.push(await createId(landfall, 'alice', { size: 2000 }))
    const sixth = await create(landfall, 'alice', { size: 2000 })
    expect(sixth.status).toBe(429)
    expect(Number(sixth.headers.get('Retry-After'))).toBeGreaterThan(0)
    expect(await refusalOf(sixth)).toMatchObject({ code: 'too-many-open-uploads', open: 5, limit: 5 })

    await patch(landfall, 'alice', ids[0] ?? '', { offset: 0, body: asJpeg(Buffer.alloc(2000)) })
    await terminate(landfall, 'alice', ids[1] ?? '')
    expect((await create(landfall, 'alice', { size: 2000 })).status).toBe(201)
    expect((await create(landfall, 'alice', { size: 2000 })).status).toBe(201)
    expect((await create(landfall, 'alice', { size: 2000 })).status).toBe(429)
  })

  it('is one owner’s own', async () => {
    for (let i = 0; i < 5; i++) await createId(landfall, 'busy', { size: 2000 })
    expect((await create(landfall, 'idle', { size: 2000 })).status).toBe(201)
  })

  it('makes room for a new one where an empty one was not touched for five minutes, and not a moment before', async () => {
    const ids: string[] = []
    for (let i = 0; i < 5; i++) ids.push(await createId(landfall, 'orphans', { size: 2000 }))
    const [idle = '', begun = '', fresh = ''] = ids
    const part = { offset: 0, body: asJpeg(Buffer.alloc(2000)).subarray(0, 1000) }
    await patch(landfall, 'orphans', begun, part)
    for (const id of [idle, begun]) await touchedAgo(landfall, id, 301)
    const touchedAt = performance.now()
    await touchedAgo(landfall, fresh, 200)

    expect((await create(landfall, 'orphans', { size: 2000 })).status).toBe(201)
    expect((await head(landfall, 'orphans', idle)).status).toBe(410)
    expect((await head(landfall, 'orphans', begun)).status).toBe(200)
    expect(await quotaOf(landfall, 'orphans')).toMatchObject({ uploads: { open: 5 } })

    const refused = await create(landfall, 'orphans', { size: 2000 })
    const elapsedSeconds = (performance.now() - touchedAt) / 1000
    expect(refused.status).toBe(429)
    const waitSeconds = Number(refused.headers.get('Retry-After'))
    expect(waitSeconds).toBeGreaterThan(85)
    expect(waitSeconds).toBeLessThanOrEqual(100)
    // The time it told is the true one.
    await touchedAgo(landfall, fresh, 200 + waitSeconds + elapsedSeconds)
    expect((await create(landfall, 'orphans', { size: 2000 })).status).toBe(201)
  })

  it('ends no more than it takes: what has expired first, then what has been idle for longest', async () => {
    const ids: string[] = []
    for (let i = 0; i < 5; i++) ids.push(await createId(landfall, 'careful', { size: 2000 }))
    for (const [i, id] of ids.entries()) await touchedAgo(landfall, id, 1000 - i * 100)
    const [first = '', second = '', , , expired = ''] = ids
    await landfall.db
      .updateTable('landfall.uploads')
      .set({ expires_at: new Date(Date.now() - 1000) })
      .where('id', '=', asUploadId(expired))
      .execute()
    const statuses = async () =>
      await Promise.all(ids.map(async (id) => (await head(landfall, 'careful', id)).status))
    expect((await create(landfall, 'careful', { size: 2000 })).status).toBe(201)
    expect(await statuses()).toEqual([200, 200, 200, 200, 410])
    // A look at it is no touch.
    expect((await create(landfall, 'careful', { size: 2000 })).status).toBe(201)
    expect(await statuses()).toEqual([410, 200, 200, 200, 410])
    expect([first, second].every((id) => id !== '')).toBe(true)
    expect(await quotaOf(landfall, 'careful')).toMatchObject({ uploads: { open: 5 } })
  })

  it('ends none for bytes that all of them together do not have, and else as many as it takes', async () => {
    await landfall.db
      .insertInto('landfall.quotas')
      .values({ owner_id: asOwnerId('full'), bytes_limit: 8000 })
      .execute()
    const ids: string[] = []
    for (let i = 0; i < 3; i++) ids.push(await createId(landfall, 'full', { size: 2000 }))
    for (const [i, id] of ids.entries()) await touchedAgo(landfall, id, 1000 - i * 100)
    const statuses = async () =>
      await Promise.all(ids.map(async (id) => (await head(landfall, 'full', id)).status))
    expect((await create(landfall, 'full', { size: 9000 })).status).toBe(413)
    expect(await statuses()).toEqual([200, 200, 200])
    expect((await create(landfall, 'full', { size: 5000 })).status).toBe(201)
    expect(await statuses()).toEqual([410, 410, 200])
    expect(await quotaOf(landfall, 'full')).toMatchObject({ bytes: { reserved: 7000 } })
  })

  it('leaves an empty upload alone while a request is at it', async () => {
    const ids: string[] = []
    for (let i = 0; i < 5; i++) ids.push(await createId(landfall, 'writing', { size: 2000 }))
    const [first = ''] = ids
    const append = { offset: 0, bytes: 2000, isLast: true }
    const slow = await openAppend('tus 1.0', landfall, 'writing', first, append)
    await expect.poll(() => isLeased(landfall, first)).toBe(true)
    await touchedAgo(landfall, first, 400)
    expect((await create(landfall, 'writing', { size: 2000 })).status).toBe(429)
    slow.destroy()
    await expect.poll(() => isLeased(landfall, first)).toBe(false)
    expect((await create(landfall, 'writing', { size: 2000 })).status).toBe(201)
  })

  it('holds for parallel creations', async () => {
    const many = Array.from({ length: 20 }, () => create(landfall, 'parallel', { size: 2000 }))
    const statuses = (await Promise.all(many)).map((answer) => answer.status)
    expect(statuses.sort()).toEqual([...Array(5).fill(201), ...Array(15).fill(429)])
  })
})

describeStorages('a quota of uploads', (storage) => {
  it('counts open and finished ones, and gives back what is rejected', async () => {
    const landfall = await startLandfall({
      storage,
      env: { QUOTA_UPLOADS: '2', SCAN: 'off', UPLOAD_MAX_OPEN: '50' },
    })
    try {
      const noise = asPng(Buffer.from('this is no picture '.repeat(100)))
      const finished = await create(landfall, 'alice', {
        size: noise.byteLength,
        metadata: { filename: 'a.png' },
        body: noise,
      })
      const open = await createId(landfall, 'alice', { size: 2000 })
      const media = await outcome(landfall, 'alice', idOf(finished))
      expect(media).toMatchObject({ status: 'rejected', reason: { code: 'damaged' } })
      expect(await quotaOf(landfall, 'alice')).toEqual({
        bytes: { used: 0, reserved: 2000 },
        uploads: { finished: 0, open: 1 },
      })

      expect((await create(landfall, 'alice', { size: 2000 })).status).toBe(201)
      const third = await create(landfall, 'alice', { size: 2000 })
      expect(third.status).toBe(429)
      expect(Number(third.headers.get('Retry-After'))).toBeGreaterThan(0)
      expect(await refusalOf(third)).toMatchObject({ code: 'quota-uploads-exceeded', limit: 2 })
      await terminate(landfall, 'alice', open)
      expect((await create(landfall, 'alice', { size: 2000 })).status).toBe(201)
    } finally {
      await landfall.close()
    }
  })
})
