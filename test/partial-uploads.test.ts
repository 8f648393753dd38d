import { sql } from 'kysely'
import { Upload as TusUpload } from 'tus-js-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { z } from 'zod'
import { openExplained } from '../bench/ledger/explained.ts'
import { listOpenUploads } from '../ledger/uploads.ts'
import { wholesOf } from '../ledger/wholes.ts'
import type { Quota, Upload, UploadList } from '../server/api/schemas.ts'
import { readStream, type StreamEvent } from './support/event-reader.ts'
import { asOwnerId, asUploadId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { slowly } from './support/pauses.ts'
import { openPatch } from './support/raw-http.ts'
import { asMp4 } from './support/sample-bytes.ts'
import { createId, idOf, metadataHeader, patch, terminate } from './support/tus.ts'

type UploadJson = z.output<typeof Upload>

let here: Landfall
let there: Landfall
beforeAll(async () => {
  here = await startLandfall({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '200' } })
  there = await startLandfall({ withoutWorker: true, beside: here, env: { UPLOAD_MAX_OPEN: '200' } })
})
afterAll(async () => {
  await there?.close()
  await here?.close()
})

const get = async <T>(sub: string, path: string): Promise<T> => {
  const answer = await here.as(sub)(`/api/v1${path}`)
  expect(answer.status).toBe(200)
  return (await answer.json()) as T
}
const quota = (sub: string) => get<z.output<typeof Quota>>(sub, '/quota')
const upload = (sub: string, id: string) => get<UploadJson>(sub, `/uploads/${id}`)

/** Every page of a list. */
async function listed(sub: string, query: string): Promise<UploadJson[]> {
  const items: UploadJson[] = []
  for (let cursor = ''; ; ) {
    const page = await get<z.output<typeof UploadList>>(sub, `/uploads?${query}${cursor}`)
    items.push(...page.items)
    if (page.nextCursor === null) return items
    cursor = `&cursor=${page.nextCursor}`
  }
}

const partial = (sub: string, size: number, metadata: Record<string, string> = {}) =>
  createId(here, sub, { size, metadata, headers: { 'Upload-Concat': 'partial' } })
const final = async (sub: string, ids: readonly string[]) =>
  idOf(
    await fetch(`${here.url}/files`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${here.token(sub)}`,
        'Tus-Resumable': '1.0.0',
        'Upload-Concat': `final;${ids.map((id) => `/files/${id}`).join(' ')}`,
        'Upload-Metadata': metadataHeader({ filename: 'clip.mp4' }),
      },
    }),
  )
const send = async (sub: string, id: string, offset: number, bytes: Uint8Array, node = here) =>
  expect((await patch(node, sub, id, { offset, body: bytes })).status).toBe(204)

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0)

/** The two lists explain what the quota has reserved, to the byte. */
async function expectExplained(sub: string): Promise<void> {
  const { bytes, uploads } = await quota(sub)
  const [whole, partials] = [await listed(sub, 'limit=3'), await listed(sub, 'partial=true&limit=3')]
  expect(sum(partials.map(({ reservedBytes }) => reservedBytes))).toBe(bytes.reservedByPartials)
  expect(sum(whole.map(({ reservedBytes }) => reservedBytes))).toBe(bytes.reserved - bytes.reservedByPartials)
  expect([whole.length, partials.length]).toEqual([uploads.open, uploads.partials])
  expect(new Set([...whole, ...partials].map(({ id }) => id)).size).toBe(whole.length + partials.length)
}

describe('partial uploads', () => {
  it('are in a list of their own, and what they reserve is apart in the quota', async () => {
    const plain = await createId(here, 'ann', { size: 7000, metadata: { filename: 'a.mp4' } })
    const ids = [await partial('ann', 1000), await partial('ann', 2000), await partial('ann', 4000)]
    expect((await listed('ann', '')).map(({ id }) => id)).toEqual([plain])
    expect((await listed('ann', 'state=open&partial=false')).map(({ id }) => id)).toEqual([plain])
    const partials = await listed('ann', 'partial=true')
    expect(partials.map(({ id }) => id)).toEqual(ids.toReversed())
    expect(partials.every(({ isPartial, whole }) => isPartial && whole === null)).toBe(true)
    expect((await upload('ann', plain)).isPartial).toBe(false)
    expect((await quota('ann')).bytes).toMatchObject({ reserved: 14_000, reservedByPartials: 7000 })
    await expectExplained('ann')
    expect(await listed('mallory', 'partial=true')).toEqual([])
  })

  it('explain what is reserved with whatever becomes of them', async () => {
    const ids = await Promise.all(Array.from({ length: 8 }, (_, i) => partial('bea', 1000 + i)))
    const headers = {
      Authorization: `Bearer ${here.token('bea')}`,
      'Tus-Resumable': '1.0.0',
      'Upload-Defer-Length': '1',
    }
    expect((await fetch(`${here.url}/files`, { method: 'POST', headers })).status).toBe(201)
    await expectExplained('bea')
    await send('bea', ids[0] ?? '', 0, Buffer.alloc(1000, 1))
    await expectExplained('bea')
    // One that waits, and one more of the same partial, which reserves bytes of its own.
    await final('bea', ids.slice(0, 2))
    await final('bea', ids.slice(1, 3))
    await expectExplained('bea')
    await send('bea', ids[1] ?? '', 0, Buffer.alloc(1001, 1))
    await expectExplained('bea')
    await terminate(here, 'bea', ids[5] ?? '')
    await here.db
      .updateTable('landfall.uploads')
      .set({ expires_at: new Date(0) })
      .where('id', '=', asUploadId(ids[6] ?? ''))
      .execute()
    await expectExplained('bea')
    expect((await listed('bea', 'partial=true')).map(({ id }) => id)).not.toContain(ids[6])
  })

  it('are refused another value of the filter', async () => {
    expect((await here.as('ann')('/api/v1/uploads?partial=maybe')).status).toBe(400)
  })

  it('tell the final upload that is made of them, and it their progress', async () => {
    const ids = [await partial('cleo', 1000), await partial('cleo', 3000)]
    const whole = await final('cleo', ids)
    await send('cleo', ids[1] ?? '', 0, Buffer.alloc(2000, 1))
    const progress = { offset: 2000, size: 4000, percent: 50 }
    expect(await upload('cleo', whole)).toMatchObject({ ...progress, isPartial: false, whole: null })
    const [shown] = await listed('cleo', '')
    expect(shown).toMatchObject({ id: whole, ...progress })
    for (const one of await listed('cleo', 'partial=true'))
      expect(one.whole).toMatchObject({ ...progress, finalId: whole, key: null })
  })

  it('tell one final upload of the many that may have used them', async () => {
    const ids = [await partial('kim', 1000), await partial('kim', 500)]
    await send('kim', ids[0] ?? '', 0, Buffer.alloc(1000, 1))
    const finals = [await final('kim', ids.slice(0, 1)), await final('kim', ids.slice(0, 1))]
    const { whole } = await upload('kim', ids[0] ?? '')
    expect(whole).toMatchObject({ offset: 1000, size: 1000, percent: 100 })
    expect(finals).toContain(whole?.finalId)
    // One that still waits says more.
    const waiting = await final('kim', ids)
    expect((await upload('kim', ids[0] ?? '')).whole).toMatchObject({ finalId: waiting, size: 1500 })
    const known = await wholesOf(here.db, asOwnerId('kim'), [asUploadId(ids[0] ?? '')])
    expect(known).toHaveLength(2)
  })

  it('tell the file that their client says they are for, and of nobody else’s', async () => {
    const metadata = { whole: 'holiday', wholesize: '9000' }
    const ids = [await partial('dan', 1000, metadata), await partial('dan', 3000, metadata)]
    await partial('dan', 500, { whole: 'another', wholesize: '1' })
    await partial('eve', 5000, metadata)
    await send('dan', ids[0] ?? '', 0, Buffer.alloc(900, 1))
    expect((await upload('dan', ids[1] ?? '')).whole).toMatchObject({
      key: 'holiday',
      finalId: null,
      offset: 900,
      size: 9000,
      percent: 10,
    })
  })

  it.each<[string, Record<string, string>, number | null]>([
    ['less than they have', { wholesize: '10' }, 4000],
    ['no number', { wholesize: '1e9' }, 4000],
    ['more digits than any file has', { wholesize: '9'.repeat(40) }, 4000],
    ['nothing', {}, 4000],
  ])('are as large as they are together where their client says %s', async (_what, more, size) => {
    const sub = `size-${JSON.stringify(more).length}`
    const [id = ''] = [
      await partial(sub, 1000, { whole: 'x', ...more }),
      await partial(sub, 3000, { whole: 'x', ...more }),
    ]
    expect((await upload(sub, id)).whole?.size).toBe(size)
  })
})

describe('the events of an upload in parallel', () => {
  async function follow(node: Landfall, sub: string, path: string): Promise<StreamEvent[]> {
    const events: StreamEvent[] = []
    const opened = Promise.withResolvers<void>()
    const headers = { Authorization: `Bearer ${node.token(sub)}` }
    const read = async () => {
      for await (const event of readStream(`${node.url}/api/v1${path}`, headers, opened.resolve))
        events.push(event)
    }
    read().catch(opened.reject)
    await opened.promise
    return events
  }
  const progressOf = (events: readonly StreamEvent[], id: string) =>
    events.filter(({ event, data }) => event === 'progress' && data.uploadId === id).map(({ data }) => data)

  it('tell progress of the whole file by its final upload, from every node', async () => {
    const ids = [await partial('finn', 100_000), await partial('finn', 100_000)]
    const whole = await final('finn', ids)
    const readers = await Promise.all([
      follow(there, 'finn', '/events'),
      follow(there, 'finn', `/uploads/${whole}/events`),
      follow(here, 'finn', '/events'),
    ])
    await send('finn', ids[0] ?? '', 0, asMp4(Buffer.alloc(60_000, 1)))
    await send('finn', ids[1] ?? '', 0, Buffer.alloc(40_000, 1), there)
    for (const events of readers)
      await expect
        .poll(() => progressOf(events, whole).at(-1), { timeout: 10_000 })
        .toMatchObject({ offset: 100_000, size: 200_000, percent: 50 })
    await send('finn', ids[0] ?? '', 60_000, Buffer.alloc(40_000, 1))
    await send('finn', ids[1] ?? '', 40_000, Buffer.alloc(60_000, 1))
    for (const events of readers) {
      await expect.poll(() => progressOf(events, whole).at(-1)?.percent, { timeout: 10_000 }).toBe(100)
      const offsets = progressOf(events, whole).map(({ offset }) => offset)
      expect(offsets).toEqual(offsets.toSorted((a, b) => a - b))
    }
  })

  it('tell it of what the client says, while partials are all that there is', async () => {
    const metadata = { whole: 'clip', wholesize: '200000' }
    const ids = [await partial('gus', 100_000, metadata), await partial('gus', 100_000, metadata)]
    const events = await follow(there, 'gus', '/events')
    const open = ids.map((id) =>
      openPatch(here, 'gus', id, { offset: 0, headers: { 'Content-Length': '100000' } }),
    )
    for (let sent = 0; sent < 100_000; sent += 10_000) {
      for (const one of open) await one.send(Buffer.alloc(10_000, 1))
      await slowly(60)
    }
    for (const one of open) expect((await one.answer).status).toBe(204)
    const wholes = () => ids.flatMap((id) => progressOf(events, id)).map(({ whole }) => whole)
    await expect
      .poll(() => wholes().at(-1), { timeout: 10_000 })
      .toMatchObject({ key: 'clip', offset: 200_000, size: 200_000, percent: 100 })
    expect(wholes().some(({ percent }) => percent > 0 && percent < 100)).toBe(true)
    expect(ids.flatMap((id) => progressOf(events, id)).every(({ isPartial }) => isPartial)).toBe(true)
  })

  it('tell it of tus-js-client as the documentation shows it', async () => {
    const events = await follow(there, 'hal', '/events')
    const bytes = asMp4(Buffer.alloc(300_000, 'a frame'))
    const id = await new Promise<string>((resolve, reject) => {
      const started = new TusUpload(bytes, {
        endpoint: `${here.url}/files`,
        headers: { Authorization: `Bearer ${here.token('hal')}` },
        metadata: { filename: 'clip.mp4' },
        parallelUploads: 3,
        metadataForPartialUploads: { whole: 'a-clip', wholesize: String(bytes.length) },
        // Progress is told twice a second: the partials last longer than that.
        chunkSize: 10_000,
        onBeforeRequest: () => slowly(100),
        onError: reject,
        onSuccess: () => resolve(started.url?.split('/').at(-1) ?? ''),
      })
      started.start()
    })
    await expect
      .poll(() => progressOf(events, id).at(-1), { timeout: 10_000 })
      .toMatchObject({ offset: 300_000, percent: 100 })
    const ofParts = events.filter(({ event, data }) => event === 'progress' && data.isPartial)
    expect(ofParts.length).toBeGreaterThan(0)
    for (const { data } of ofParts) expect(data.whole).toMatchObject({ key: 'a-clip', size: 300_000 })
  })

  it('say of a partial upload without either that it is one, and no more', async () => {
    const events = await follow(here, 'ivy', '/events')
    const id = await partial('ivy', 1000)
    await send('ivy', id, 0, Buffer.alloc(500, 1))
    await expect
      .poll(() => progressOf(events, id).at(-1), { timeout: 10_000 })
      .toMatchObject({ offset: 500, percent: 50, isPartial: true, whole: null })
  })
})

it('are found by an index, among many of other owners and many that are over', async () => {
  await sql`
    insert into landfall.uploads (id, owner_id, protocol, state, size, "offset", metadata, storage_backend, storage_key,
                                  reserved_bytes, expires_at, is_partial)
    select lpad(i::text, 22, 'p'), case when i <= 10000 then 'busy' else 'other-' || i % 500 end, 'tus-1.0',
           case when i <= 10000 then 'expired' else 'open' end, 1, 1, '{"whole":"x"}', 'disk', 'uploads/' || i, 0,
           now() + interval '1 day', true
      from generate_series(1, 20000) i`.execute(here.db)
  const ids = await Promise.all(Array.from({ length: 3 }, () => partial('busy', 1000, { whole: 'x' })))
  await sql`analyze landfall.uploads`.execute(here.db)
  const explained = openExplained(here.connectionString)
  try {
    const ownerId = asOwnerId('busy')
    expect(await listOpenUploads(explained.db, { ownerId, isPartial: true, limit: 101 })).toHaveLength(3)
    const after = { createdAtMicros: String(Date.now() * 1000), id: 'z'.repeat(22) }
    await listOpenUploads(explained.db, { ownerId, isPartial: true, limit: 101, after })
    expect(await wholesOf(explained.db, ownerId, ids.map(asUploadId))).toHaveLength(1)
    const plans = explained.taken().map(({ plan }) => plan)
    expect(plans).toHaveLength(3)
    for (const plan of plans) {
      expect(plan).toContain('uploads_open_by_owner')
      expect(plan).not.toMatch(/Seq Scan on uploads/)
    }
  } finally {
    await explained.db.destroy()
    await sql`delete from landfall.uploads where id like 'pp%'`.execute(here.db)
  }
})
