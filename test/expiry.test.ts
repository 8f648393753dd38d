import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { openQueues } from '../jobs/queues.ts'
import { reap } from '../jobs/upkeep/reaper.ts'
import { asOwnerId, asUploadId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { QUIET } from './support/quiet.ts'
import { problemOf, type TusRequest, tusRequest } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { NOTHING_USED, quotaOf, statusOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { create, createId, head, patch, terminate } from './support/tus.ts'

const SIZE = 4000
const BYTES = asJpeg(Buffer.alloc(SIZE, 'x'))
const HOUR = 3_600_000

describeStorages('an upload that has expired', (storage) => {
  let landfall: Landfall
  let owner: string
  let owners = 0

  beforeAll(async () => {
    const env = { UPLOAD_MAX_OPEN: '2', QUOTA_BYTES: String(2 * SIZE) }
    landfall = await startLandfall({ storage, withoutWorker: true, env })
  })
  beforeEach(() => {
    owner = `owner-${owners++}`
  })
  afterAll(() => landfall?.close())

  const ask = (method: string, at: string, headers: TusRequest['headers'] = {}) =>
    tusRequest(landfall, owner, { method, at, headers })

  async function reapNow(): Promise<void> {
    const boss = await openQueues({ db: landfall.db, supervise: false, onError: () => {} })
    await reap({ db: landfall.db, boss, retentionMs: HOUR, notifyListeners: () => {}, log: QUIET })
    await boss.stop({ close: false, graceful: false })
  }

  async function expired(offset: number): Promise<string> {
    const id = await createId(landfall, owner, { size: SIZE })
    if (offset > 0) await patch(landfall, owner, id, { offset: 0, body: BYTES.subarray(0, offset) })
    await letPass(landfall, id, 25 * HOUR)
    return id
  }

  it.each([['before'], ['after']])('is told so by everybody, %s the reaper was there', async (when) => {
    const id = await expired(500)
    if (when === 'after') await reapNow()
    for (const method of ['HEAD', 'GET', 'PATCH']) {
      const headers = { 'Upload-Offset': '500', 'Content-Type': 'application/offset+octet-stream' }
      const answer = await ask(method, id, method === 'PATCH' ? headers : {})
      expect([method, answer.status]).toEqual([method, 410])
      if (method !== 'HEAD') expect(problemOf(answer).code).toBe('upload-expired')
    }
    expect(await statusOf(landfall, owner, id)).toMatchObject({ state: 'expired', expiresAt: null })
    const listed = await (await landfall.as(owner)('/api/v1/uploads?state=open')).json()
    expect(listed).toEqual({ items: [], nextCursor: null })
    expect(await quotaOf(landfall, owner)).toEqual(NOTHING_USED)
  })

  it.each([['before'], ['after']])('is deleted by its owner, %s the reaper was there', async (when) => {
    const id = await expired(500)
    if (when === 'after') await reapNow()
    expect((await terminate(landfall, 'mallory', id)).status).toBe(404)
    expect((await terminate(landfall, owner, id)).status).toBe(204)
    expect(await usageOf(landfall, owner)).toEqual({ reserved_bytes: 0, open_uploads: 0 })
    expect(await statusOf(landfall, owner, id)).toMatchObject({ state: 'terminated' })
    const again = await terminate(landfall, owner, id)
    expect([again.status, await again.json()]).toEqual([
      410,
      expect.objectContaining({ code: 'upload-terminated' }),
    ])
    await reapNow()
    expect(await usageOf(landfall, owner)).toEqual({ reserved_bytes: 0, open_uploads: 0 })
    const ends = await landfall.db
      .selectFrom('landfall.events')
      .select('type')
      .where('upload_id', '=', asUploadId(id))
      .where('type', '<>', 'upload.created')
      .execute()
    expect(ends).toEqual([{ type: when === 'after' ? 'upload.expired' : 'upload.terminated' }])
  })

  it('makes room at once, as one of those that may be open and in the quota', async () => {
    const first = await expired(500)
    const second = await expired(500)
    expect((await create(landfall, owner, { size: 2 * SIZE })).status).toBe(201)
    for (const id of [first, second])
      expect(await statusOf(landfall, owner, id)).toMatchObject({ state: 'expired' })
    expect(await usageOf(landfall, owner)).toEqual({ reserved_bytes: 2 * SIZE, open_uploads: 1 })
  })

  it('is none that a final upload can be made of', async () => {
    const partial = await tusRequest(landfall, owner, {
      method: 'POST',
      headers: { 'Upload-Length': '10', 'Upload-Concat': 'partial' },
    })
    const id = partial.headers.location?.split('/').at(-1) ?? ''
    await patch(landfall, owner, id, { offset: 0, body: BYTES.subarray(0, 10) })
    await letPass(landfall, id, 25 * HOUR)
    const final = await tusRequest(landfall, owner, {
      method: 'POST',
      headers: { 'Upload-Concat': `final;/files/${id}` },
    })
    expect([final.status, problemOf(final).code]).toEqual([400, 'invalid-concat'])
  })
})

describeStorages('the expiry of an upload', (storage) => {
  let landfall: Landfall

  beforeAll(async () => {
    const env = { UPLOAD_EXPIRES_AFTER: '24h', UPLOAD_MAX_AGE: '30h', UPLOAD_MAX_OPEN: '100' }
    landfall = await startLandfall({ storage, withoutWorker: true, env })
  })
  afterAll(() => landfall?.close())

  it('counts from its last byte, and what is told is what is kept', async () => {
    const id = await createId(landfall, 'alice', { size: SIZE })
    await letPass(landfall, id, 5 * HOUR)
    const answer = await patch(landfall, 'alice', id, { offset: 0, body: BYTES.subarray(0, 500) })
    expect(hoursFromNow(answer.headers.get('Upload-Expires'))).toBeCloseTo(24, 1)
    const { expiresAt } = (await (await landfall.as('alice')(`/api/v1/uploads/${id}`)).json()) as {
      expiresAt: string
    }
    expect(Math.floor(Date.parse(expiresAt) / 1000)).toBe(
      Date.parse(answer.headers.get('Upload-Expires') ?? '') / 1000,
    )
    await letPass(landfall, id, 23 * HOUR)
    expect((await head(landfall, 'alice', id)).status).toBe(200)
  })

  it('does not move when an append brings nothing or is refused', async () => {
    const id = await createId(landfall, 'alice', { size: SIZE })
    await letPass(landfall, id, 5 * HOUR)
    await patch(landfall, 'alice', id, { offset: 0, body: new Uint8Array() })
    await patch(landfall, 'alice', id, { offset: 7, body: BYTES.subarray(0, 500) })
    const { expires_at } = await rowOf(landfall, id)
    expect(hoursFromNow(expires_at.toISOString())).toBeCloseTo(19, 1)
  })

  it('is at its largest age at the latest', async () => {
    const id = await createId(landfall, 'alice', { size: SIZE })
    await letPass(landfall, id, 20 * HOUR)
    const answer = await patch(landfall, 'alice', id, { offset: 0, body: BYTES.subarray(0, 500) })
    expect(hoursFromNow(answer.headers.get('Upload-Expires'))).toBeCloseTo(10, 1)
    await letPass(landfall, id, 10 * HOUR)
    expect((await head(landfall, 'alice', id)).status).toBe(410)
  })

  it('of partial uploads that are finished waits for those that are not', async () => {
    const concat = (value: string) =>
      tusRequest(landfall, 'carol', {
        method: 'POST',
        headers: { 'Upload-Concat': value, ...(value === 'partial' ? { 'Upload-Length': '2000' } : {}) },
      })
    const idOf = ({ headers }: Awaited<ReturnType<typeof concat>>) =>
      headers.location?.split('/').at(-1) ?? ''
    const [finished, going] = [idOf(await concat('partial')), idOf(await concat('partial'))]
    const final = idOf(await concat(`final;/files/${finished} /files/${going}`))
    await patch(landfall, 'carol', finished, { offset: 0, body: BYTES.subarray(0, 2000) })
    for (const id of [finished, going, final]) await letPass(landfall, id, 20 * HOUR)
    await patch(landfall, 'carol', going, { offset: 0, body: BYTES.subarray(0, 1000) })
    for (const id of [finished, going, final]) await letPass(landfall, id, 9 * HOUR)
    const last = await patch(landfall, 'carol', going, { offset: 1000, body: BYTES.subarray(0, 1000) })
    expect(last.status).toBe(204)
    expect(await statusOf(landfall, 'carol', final)).toMatchObject({ state: 'received', offset: 4000 })
  })

  it('is kept by the reaper, which looks again when it is over', async () => {
    const id = await createId(landfall, 'dave', { size: SIZE })
    await patch(landfall, 'dave', id, { offset: 0, body: BYTES.subarray(0, 500) })
    // When it would have expired without the append.
    await sql`update landfall.uploads set reap_after = now() - interval '1 second' where id = ${id}`.execute(
      landfall.db,
    )
    const boss = await openQueues({ db: landfall.db, supervise: false, onError: () => {} })
    const reapNow = () =>
      reap({ db: landfall.db, boss, retentionMs: HOUR, notifyListeners: () => {}, log: QUIET })
    await reapNow()
    const put = await rowOf(landfall, id)
    expect(put).toMatchObject({ state: 'open', reap_after: put.expires_at })
    await letPass(landfall, id, 25 * HOUR)
    await vi.waitFor(async () => {
      await reapNow()
      expect(await rowOf(landfall, id)).toMatchObject({ state: 'expired' })
    })
    await boss.stop({ close: false, graceful: false })
  })
})

/** As if the upload had been opened, and had its last byte, this much earlier. */
async function letPass({ db }: Landfall, id: string, ms: number): Promise<void> {
  const passed = sql`make_interval(secs => ${ms / 1000})`
  await db
    .updateTable('landfall.uploads')
    .set({
      created_at: sql<Date>`created_at - ${passed}`,
      updated_at: sql<Date>`updated_at - ${passed}`,
      expires_at: sql<Date>`expires_at - ${passed}`,
    })
    .where('id', '=', asUploadId(id))
    .execute()
}

const rowOf = ({ db }: Landfall, id: string) =>
  db
    .selectFrom('landfall.uploads')
    .select(['state', 'expires_at', 'reap_after'])
    .where('id', '=', asUploadId(id))
    .executeTakeFirstOrThrow()

const usageOf = ({ db }: Landfall, owner: string) =>
  db
    .selectFrom('landfall.quota_usage')
    .select(['reserved_bytes', 'open_uploads'])
    .where('owner_id', '=', asOwnerId(owner))
    .executeTakeFirstOrThrow()

const hoursFromNow = (time: string | null): number => (Date.parse(time ?? '') - Date.now()) / HOUR
