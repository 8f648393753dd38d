import { sql } from 'kysely'
import { afterEach, describe, expect, it } from 'vitest'
import { shareOf } from '../ledger/owner-share.ts'
import { type Landfall, type LandfallOptions, startLandfall } from './support/landfall.ts'
import { openLedger } from './support/ledger.ts'
import { lockWaits } from './support/lock-waits.ts'
import { nothingFor } from './support/pauses.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { createId, head, patch } from './support/tus.ts'

const POOL = 4
const FLOOD = 40
/** Less than the ten seconds after which a request gives up waiting for a connection. */
const SOON_MS = 8_000

describe('one owner', () => {
  const undo: (() => unknown)[] = []
  afterEach(async () => {
    for (const release of undo.splice(0).reverse()) await release()
  })

  async function start(options: LandfallOptions = {}): Promise<Landfall> {
    const env = { DATABASE_POOL: String(POOL), UPLOAD_MAX_OPEN: '100', ...options.env }
    const landfall = await startLandfall({ withoutWorker: true, ...options, env })
    undo.push(() => landfall.close())
    return landfall
  }

  /** Holds a lock in a transaction of another node, until it is told to let go. */
  async function hold(landfall: Landfall, lock: ReturnType<typeof sql>): Promise<() => Promise<void>> {
    const db = openLedger(landfall.connectionString)
    const held = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    const transaction = db.transaction().execute(async (trx) => {
      await lock.execute(trx)
      held.resolve()
      await release.promise
    })
    await Promise.race([held.promise, transaction])
    const unlock = async () => {
      release.resolve()
      await transaction
    }
    undo.push(async () => {
      await unlock()
      await db.destroy()
    })
    return unlock
  }

  /** What somebody does who has nothing to do with it; fails unless all of it is answered soon. */
  async function ordinaryDay(landfall: Landfall): Promise<void> {
    const began = performance.now()
    const body = asJpeg(Buffer.alloc(2000))
    const id = await createId(landfall, 'bob', { size: body.length })
    expect((await head(landfall, 'bob', id)).status).toBe(200)
    expect((await patch(landfall, 'bob', id, { offset: 0, body })).status).toBe(204)
    for (const path of ['/api/v1/media', '/api/v1/uploads', '/api/v1/quota'])
      expect((await landfall.as('bob')(path)).status).toBe(200)
    expect((await fetch(`${landfall.url}/healthz`)).status).toBe(200)
    expect(performance.now() - began).toBeLessThan(SOON_MS)
  }

  it('whose requests wait for uploads that another node writes to is answered everything else', async () => {
    const landfall = await start()
    const ids: string[] = []
    while (ids.length < 3) ids.push(await createId(landfall, 'alice', { size: 2000 }))
    await sql`
      insert into landfall.upload_locks (upload_id, holder, fence, expires_at)
      select unnest(${ids}::text[]), 'another node', gen_random_uuid(), now() + interval '1 minute'`.execute(
      landfall.db,
    )
    // Somebody else is there, so that she has few turns.
    expect((await landfall.as('bob')('/api/v1/quota')).status).toBe(200)
    const leave = new AbortController()
    undo.push(() => leave.abort())
    for (const id of ids) {
      const asked = { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' }, signal: leave.signal }
      landfall
        .as('alice')(`/files/${id}`, asked)
        .catch(() => {
          // It is left when the test is over.
        })
    }
    await expect.poll(() => wanted(landfall)).toBe(ids.length)
    const began = performance.now()
    expect((await landfall.as('alice')('/api/v1/media')).status).toBe(200)
    expect(performance.now() - began).toBeLessThan(SOON_MS)
  }, 60_000)

  /** Uploads for which somebody waits. */
  async function wanted(landfall: Landfall): Promise<number> {
    const locks = await landfall.db.selectFrom('landfall.upload_locks').select('contended').execute()
    return locks.filter(({ contended }) => contended).length
  }

  const concatenate = async (landfall: Landfall, id: string) =>
    await landfall.as('alice')('/files', {
      method: 'POST',
      headers: { 'Tus-Resumable': '1.0.0', 'Upload-Concat': `final;/files/${id}` },
    })

  it.each([
    ['concatenation', sql`select pg_advisory_xact_lock(hashtextextended('landfall.concat alice', 0))`],
    ['usage', sql`select 1 from landfall.quota_usage where owner_id = 'alice' for update`],
  ])('whose %s another node has locked holds up nobody else', { timeout: 60_000 }, async (_, lock) => {
    const landfall = await start()
    const id = await createId(landfall, 'alice', { size: 2000, headers: { 'Upload-Concat': 'partial' } })
    const unlock = await hold(landfall, lock)
    const flood = Array.from({ length: FLOOD }, () => concatenate(landfall, id))
    await ordinaryDay(landfall)
    expect(await lockWaits(landfall.db)).toBeLessThanOrEqual(1)
    await unlock()
    const statuses = (await Promise.all(flood)).map(({ status }) => status)
    expect(statuses).toEqual(statuses.map(() => 201))
  })

  it('who asks for much at once has a share of the connections', { timeout: 60_000 }, async () => {
    const landfall = await start()
    const id = await createId(landfall, 'alice', { size: 2000 })
    const as = landfall.as('alice')
    const floods: Record<string, () => Promise<Response>> = {
      media: () => as('/api/v1/media'),
      uploads: () => as('/api/v1/uploads'),
      quota: () => as('/api/v1/quota'),
      deliveries: () => as('/api/v1/webhooks/deliveries'),
      'one upload': () => as(`/api/v1/uploads/${id}`),
      'one media item': () => as('/api/v1/media/AAAAAAAAAAAAAAAAAAAAAA'),
      deletion: () => as('/api/v1/media/AAAAAAAAAAAAAAAAAAAAAA', { method: 'DELETE' }),
      processing: () => as('/api/v1/media/AAAAAAAAAAAAAAAAAAAAAA/process', { method: 'POST' }),
      offset: () => as(`/files/${id}`, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } }),
      tickets: () => as('/api/v1/events/tickets', { method: 'POST' }),
    }
    for (const [name, ask] of Object.entries(floods)) {
      // All that an owner may read stands still, as with a statement that takes long.
      const unlock = await hold(
        landfall,
        sql`lock table landfall.media, landfall.uploads, landfall.quotas, landfall.upload_locks,
                       landfall.webhook_deliveries, landfall.stream_tickets in access exclusive mode`,
      )
      const answers = Array.from({ length: FLOOD }, ask)
      await expect.poll(() => lockWaits(landfall.db), { timeout: 5_000 }).toBeGreaterThan(0)
      await nothingFor(100)
      // One more for what goes to the ledger in one statement for all owners together.
      expect([name, await lockWaits(landfall.db)]).toSatisfy(
        ([, count]) => typeof count === 'number' && count <= shareOf(POOL) + 1,
      )
      await unlock()
      const statuses = new Set((await Promise.all(answers)).map(({ status }) => status))
      expect([name, [...statuses].filter((status) => status >= 500)]).toEqual([name, []])
    }
  })
})
