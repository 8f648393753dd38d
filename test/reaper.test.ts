import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { sql } from 'kysely'
import type { PgBoss } from 'pg-boss'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { openQueues, QUEUES } from '../jobs/queues.ts'
import { reap } from '../jobs/upkeep/reaper.ts'
import { jpeg, shortVideo } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { readEvents } from './support/event-reader.ts'
import { asOwnerId, asUploadId } from './support/ids.ts'
import { type Landfall, type LandfallOptions, startLandfall } from './support/landfall.ts'
import { QUIET } from './support/quiet.ts'
import { openPatch } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { NOTHING_USED, quotaOf, statusOf, untilReceived } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { leftBehind } from './support/stored.ts'
import { createId, head, patch } from './support/tus.ts'
import { outcome, process } from './support/uploads.ts'

const SIZE = 20_000
const BYTES = asJpeg(new Uint8Array(SIZE).fill(7))
const DAY_MS = 86_400_000
const NOTHING = { expired: 0, purged: 0, overdue: 0, requeued: 0, swept: 0, leases: 0 }

const clamd = requires('clamd')
const undo: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const release of undo.splice(0).reverse()) await release()
})

async function start(options: LandfallOptions = {}): Promise<{ landfall: Landfall; boss: PgBoss }> {
  const landfall = await startLandfall(options)
  undo.push(() => landfall.close())
  const onError = (error: unknown) => {
    throw error
  }
  const boss = await openQueues({ db: landfall.db, supervise: false, onError })
  undo.push(() => boss.stop({ close: false, graceful: false }))
  return { landfall, boss }
}

const reapNow = ({ landfall, boss }: { landfall: Landfall; boss: PgBoss }, retentionMs = DAY_MS) =>
  reap({ db: landfall.db, boss, retentionMs, notifyListeners: () => {}, log: QUIET })

const letExpire = ({ db }: Landfall, ids: string[]) =>
  db
    .updateTable('landfall.uploads')
    .set({ expires_at: new Date(Date.now() - 1000) })
    .where('id', 'in', ids.map(asUploadId))
    .execute()

describeStorages('the reaper, of uploads', (storage) => {
  it('ends expired uploads: 410, quota free, event written, bytes gone', async () => {
    const started = await start({ storage, env: { UPLOAD_MAX_OPEN: '10' } })
    const { landfall } = started
    const expired = await createId(landfall, 'alice', { size: SIZE })
    await patch(landfall, 'alice', expired, { offset: 0, body: BYTES.subarray(0, 500) })
    const fresh = await createId(landfall, 'bob', { size: SIZE })
    await letExpire(landfall, [expired])

    expect(await reapNow(started)).toEqual({ ...NOTHING, expired: 1 })
    expect((await head(landfall, 'alice', expired)).status).toBe(410)
    expect(await quotaOf(landfall, 'alice')).toEqual(NOTHING_USED)
    expect(await statusOf(landfall, 'alice', expired)).toMatchObject({ state: 'expired' })
    const types: string[] = []
    for await (const { event, data } of readEvents(landfall, 'alice', expired))
      if (event === 'state') types.push(data.type)
    expect(types).toEqual(['upload.created', 'upload.expired'])
    await vi.waitFor(async () => expect(await leftBehind(landfall)).toEqual([]), { timeout: 10_000 })

    expect((await head(landfall, 'bob', fresh)).status).toBe(200)
    expect(await reapNow(started)).toEqual(NOTHING)
  })

  it('leaves an upload that a request is still writing to until that has ended', async () => {
    const started = await start({ storage, withoutWorker: true })
    const { landfall } = started
    const id = await createId(landfall, 'alice', { size: SIZE })
    const open = openPatch(landfall, 'alice', id, { offset: 0, headers: { 'Content-Length': String(SIZE) } })
    await open.send(BYTES.subarray(0, 7000))
    await untilReceived(landfall, 'alice', id, 7000)
    await letExpire(landfall, [id])
    expect(await reapNow(started)).toEqual(NOTHING)

    await open.send(BYTES.subarray(7000))
    open.end()
    expect((await open.answer).status).toBe(204)
    expect(await reapNow(started)).toEqual(NOTHING)
    expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state: 'received' })
  })
})

describe('the reaper', () => {
  it('counts each upload once when two of them reap at the same time', async () => {
    const started = await start({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '1000' } })
    const { landfall } = started
    const ids = await Promise.all(
      Array.from({ length: 130 }, () => createId(landfall, 'alice', { size: SIZE })),
    )
    await letExpire(landfall, ids)
    const reaped = await Promise.all([reapNow(started), reapNow(started)])
    expect(reaped.reduce((sum, { expired }) => sum + expired, 0)).toBe(130)
    expect(await quotaOf(landfall, 'alice')).toEqual(NOTHING_USED)
    expect(await started.boss.findJobs(QUEUES.removal)).toHaveLength(130)
  })

  it('does the rest of its work when one kind fails, and tells of the failure then', async () => {
    const started = await start({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '10' } })
    const { landfall, boss } = started
    const id = await createId(landfall, 'alice', { size: SIZE })
    await letExpire(landfall, [id])
    const lease = { upload_id: id, holder: 'gone', fence: crypto.randomUUID() }
    await landfall.db
      .insertInto('landfall.upload_locks')
      .values({ ...lease, expires_at: new Date(Date.now() - 120_000) })
      .execute()
    const notifyListeners = () => {
      throw new Error('nobody listens')
    }
    const reaping = reap({ db: landfall.db, boss, retentionMs: DAY_MS, notifyListeners, log: QUIET })
    await expect(reaping).rejects.toThrow('nobody listens')
    expect(await landfall.db.selectFrom('landfall.upload_locks').select('holder').execute()).toEqual([])
    expect(await reapNow(started)).toEqual(NOTHING)
  })

  it('counts other owners anew when the database refuses one of them, and tells of that owner', async () => {
    const started = await start({ withoutWorker: true })
    const { landfall } = started
    // More than one page of those that nothing can be done for come first.
    await sql`
      insert into landfall.quota_usage (owner_id, used_bytes, inconsistent_since)
      select 'stuck-' || i, 7, now() - interval '1 hour' from generate_series(1, 101) i
      union all select 'alice', 7, now()`.execute(landfall.db)
    await sql
      .raw(`
        create function refuse() returns trigger language plpgsql as
          $$ begin if new.owner_id like 'stuck-%' then raise exception 'refused'; end if; return new; end $$;
        create trigger refuse before update on landfall.quota_usage for each row execute function refuse()`)
      .execute(landfall.db)
    const failure: unknown = await reapNow(started).catch((error: unknown) => error)
    expect(failure).toMatchObject({ errors: { length: 101 } })
    expect(String(failure instanceof AggregateError && failure.errors[0])).toContain('stuck-')
    const rows = await landfall.db
      .selectFrom('landfall.quota_usage')
      .selectAll()
      .where('owner_id', '=', asOwnerId('alice'))
      .execute()
    expect(rows).toMatchObject([{ used_bytes: 0, inconsistent_since: null }])
  })

  it('tells workers of what is to be removed once more', async () => {
    const started = await start({ withoutWorker: true })
    const { landfall, boss } = started
    const id = await createId(landfall, 'alice', { size: SIZE })
    await sql`update landfall.uploads
                 set state = 'terminated', multipart_unsure = true, updated_at = now() - interval '1 hour'
               where id = ${id}`.execute(landfall.db)
    const told: unknown[] = []
    const notifyListeners = (...what: unknown[]) => void told.push(what)
    expect(
      await reap({ db: landfall.db, boss, retentionMs: DAY_MS, notifyListeners, log: QUIET }),
    ).toMatchObject({
      swept: 1,
    })
    expect(told).toEqual([[id, 'sweeping']])
  })

  it('removes leases that nobody gave back', async () => {
    const started = await start({ withoutWorker: true })
    const { landfall } = started
    const upload_id = await createId(landfall, 'alice', { size: SIZE })
    const lease = { upload_id, holder: 'gone', fence: crypto.randomUUID() }
    await landfall.db
      .insertInto('landfall.upload_locks')
      .values({ ...lease, expires_at: new Date(Date.now() - 120_000) })
      .execute()
    expect(await reapNow(started)).toEqual({ ...NOTHING, leases: 1 })
  })

  it('can be called by hand', async () => {
    const { landfall } = await start({ withoutWorker: true })
    await letExpire(landfall, [await createId(landfall, 'alice', { size: SIZE })])
    const main = join(import.meta.dirname, '..', 'landfall.ts')
    const { stdout } = await execa(globalThis.process.execPath, [main, 'reap'], {
      env: { DATABASE_URL: landfall.connectionString },
    })
    expect(stdout.split('\n')).toEqual([
      'expired uploads: 1',
      'purged media: 0',
      'overdue analyses: 0',
      'queued again: 0',
      'to sweep again: 0',
      'old leases: 0',
    ])
  })
})

describeStorages.skipIf(!clamd.met)('the reaper, of media', (storage) => {
  it('purges what has been deleted for long enough, and only then frees its quota', async () => {
    const started = await start({ storage })
    const { landfall } = started
    const file = await jpeg({ width: 800, height: 600 })
    const media = await process(landfall, 'alice', file)
    expect((await landfall.as('alice')(`/api/v1/media/${media.id}`, { method: 'DELETE' })).status).toBe(204)

    expect(await reapNow(started)).toEqual(NOTHING)
    expect((await quotaOf(landfall, 'alice')).bytes.used).toBe(file.size)
    // The file, and its picture in two widths and two formats.
    expect(await leftBehind(landfall)).toHaveLength(1 + 2 * 2)

    expect(await reapNow(started, 0)).toEqual({ ...NOTHING, purged: 1 })
    expect(await quotaOf(landfall, 'alice')).toEqual(NOTHING_USED)
    await vi.waitFor(async () => expect(await leftBehind(landfall)).toEqual([]), { timeout: 10_000 })
    expect(await reapNow(started, 0)).toEqual(NOTHING)
  })

  it('frees nothing a second time for a file that was rejected before it was deleted', async () => {
    const started = await start({ storage })
    const { landfall } = started
    const media = await process(landfall, 'alice', await shortVideo({ width: 200, height: 100 }))
    expect(media.status).toBe('rejected')
    await landfall.as('alice')(`/api/v1/media/${media.id}`, { method: 'DELETE' })
    expect(await reapNow(started, 0)).toEqual({ ...NOTHING, purged: 1 })
    expect(await quotaOf(landfall, 'alice')).toEqual(NOTHING_USED)
  })
})

describe.skipIf(!clamd.met)('the reaper, of jobs', () => {
  it('queues again what has lost its job, and leaves alone what has one', async () => {
    const idle = await start({ withoutWorker: true })
    const { landfall, boss } = idle
    const bytes = await readFile((await jpeg({ width: 800, height: 600 })).path)
    const uploadId = await createId(landfall, 'alice', {
      size: bytes.length,
      metadata: { filename: 'a.jpg' },
    })
    await patch(landfall, 'alice', uploadId, { offset: 0, body: bytes })
    await landfall.db
      .updateTable('landfall.media')
      .set({ created_at: new Date(Date.now() - DAY_MS) })
      .execute()
    expect(await reapNow(idle)).toEqual(NOTHING)

    for (const { id } of await boss.findJobs(QUEUES.processing)) await boss.deleteJob(QUEUES.processing, id)
    expect(await reapNow(idle)).toEqual({ ...NOTHING, requeued: 1 })
    await start({ beside: landfall })
    expect(await outcome(landfall, 'alice', uploadId)).toMatchObject({ status: 'ready' })
  })

  it('is put to work by the workers, one of them at a time, at their start and every minute', async () => {
    const idle = await start({ withoutWorker: true })
    const { landfall, boss } = idle
    const id = await createId(landfall, 'alice', { size: SIZE })
    await letExpire(landfall, [id])
    await Promise.all([start({ beside: landfall }), start({ beside: landfall })])
    const stored = () =>
      landfall.db.selectFrom('landfall.uploads').select('state').where('id', '=', id).executeTakeFirst()
    await vi.waitFor(async () => expect(await stored()).toEqual({ state: 'expired' }), { timeout: 15_000 })
    // Both have asked; where a minute has ended between them, it is two.
    expect((await boss.findJobs(QUEUES.reaping)).length).toBeLessThanOrEqual(2)
  })
})
