import { afterEach, describe, expect, it } from 'vitest'
import { requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { openLedger } from './support/ledger.ts'
import { parseFigures } from './support/prometheus.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { beginPatch } from './support/slow-patch.ts'
import { create, createId, patch } from './support/tus.ts'

/** With the least memory that a node takes, its appends are so many, and half of them one owner's. */
const MAX_OF_OWNER = 128
const SIZE = 2000
const BODY = asJpeg(Buffer.alloc(SIZE))

describe.skipIf(!requires('ceph').met)('a node that is full', () => {
  const undo: (() => unknown)[] = []
  afterEach(async () => {
    for (const release of undo.splice(0).reverse()) await release()
  })

  it('refuses what brings bytes before it takes anything, and finishes what it has let in', {
    timeout: 120_000,
  }, async () => {
    const env = { S3_MEMORY_BUDGET: '128MiB', UPLOAD_MAX_OPEN: '1000' }
    const landfall = await startLandfall({ storage: 's3', withoutWorker: true, env })
    undo.push(() => landfall.close())
    const db = openLedger(landfall.connectionString)
    undo.push(() => db.destroy())
    const leases = async () =>
      (await db.selectFrom('landfall.upload_locks').select('upload_id').execute()).length
    const uploads = async () => (await db.selectFrom('landfall.uploads').select('id').execute()).length

    const ids: string[] = []
    while (ids.length < MAX_OF_OWNER + 1) ids.push(await createId(landfall, 'alice', { size: SIZE }))
    const one = ids.pop() ?? ''
    const appends = await Promise.all(
      ids.map((id) => beginPatch(landfall, 'alice', id, { offset: 0, bytes: SIZE })),
    )
    for (const append of appends) await append.send(BODY.subarray(0, 1000))
    await expect.poll(leases, { timeout: 30_000 }).toBe(MAX_OF_OWNER)
    expect(await sampleOf(landfall, 'landfall_appends_running')).toBe(MAX_OF_OWNER)

    const made = await uploads()
    for (const refused of [
      await patch(landfall, 'alice', one, { offset: 0, body: BODY }),
      await create(landfall, 'alice', { size: SIZE, body: BODY }),
      await byDraft(landfall, 'PATCH', `/files/${one}`),
      await byDraft(landfall, 'POST', '/files'),
    ]) {
      expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([
        503,
        'unavailable',
      ])
      expect(Number(refused.headers.get('Retry-After'))).toBeGreaterThan(0)
    }
    expect([await leases(), await uploads()]).toEqual([MAX_OF_OWNER, made])
    expect(await sampleOf(landfall, 'landfall_appends_refused_total')).toBe(4)

    // Nobody else is kept out by one owner.
    const theirs = await createId(landfall, 'bob', { size: SIZE })
    expect((await patch(landfall, 'bob', theirs, { offset: 0, body: BODY })).status).toBe(204)

    for (const append of appends) await append.send(BODY.subarray(1000))
    const statuses = await Promise.all(appends.map(({ answered }) => answered))
    expect(statuses).toEqual(statuses.map(() => 204))
    for (const append of appends) append.reset()
    expect((await patch(landfall, 'alice', one, { offset: 0, body: BODY })).status).toBe(204)
  })
})

async function sampleOf(landfall: Landfall, series: string): Promise<number | undefined> {
  return parseFigures(await (await fetch(`${landfall.url}/metrics`)).text()).samples.get(series)
}

/** The same request of the other protocol. */
async function byDraft(landfall: Landfall, method: string, path: string): Promise<Response> {
  return await landfall.as('alice')(path, {
    method,
    headers: {
      'Upload-Complete': '?1',
      ...(method === 'PATCH'
        ? { 'Upload-Offset': '0', 'Content-Type': 'application/partial-upload' }
        : { 'Content-Type': 'image/jpeg' }),
    },
    body: new Uint8Array(BODY),
  })
}
