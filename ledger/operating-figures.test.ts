import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { freshDatabase } from '../test/support/landfall.ts'
import { created, newUpload, openLedger, UNLIMITED } from '../test/support/ledger.ts'
import { createUpload } from './creation.ts'
import type { Ledger } from './database.ts'
import { type MediaId, newMediaId, type UploadId } from './ids.ts'
import {
  countEvents,
  countOpenUploads,
  lastEventBefore,
  processingBacklog,
  stepTimes,
  webhookBacklog,
  withStatementTimeout,
} from './operating-figures.ts'
import type { MediaStatus, StepStatus } from './schema.ts'

let connectionString: string
let db: Ledger

beforeAll(async () => {
  connectionString = await freshDatabase()
  db = openLedger(connectionString)
})
afterAll(() => db?.destroy())

const upload = async (): Promise<UploadId> => created(await createUpload(db, newUpload('alice'), UNLIMITED))

async function media(status: MediaStatus, ageSeconds: number): Promise<MediaId> {
  const id = newMediaId()
  await sql`insert into landfall.media (id, upload_id, owner_id, size, status, storage_key, created_at)
    values (${id}, ${await upload()}, 'alice', 1, ${status}, 'key',
            now() - make_interval(secs => ${ageSeconds}))`.execute(db)
  return id
}

async function step(of: MediaId, name: string, ended: Exclude<StepStatus, 'running'>, took: number, ago = 1) {
  await sql`insert into landfall.processing_steps (media_id, step, attempt, status, started_at, finished_at, detail)
    select ${of}, ${name}, count(*) + 1, ${ended}, now() - make_interval(secs => ${ago + took}),
           now() - make_interval(secs => ${ago}), '{}' from landfall.processing_steps`.execute(db)
}

async function delivery(status: string, dueInSeconds: number): Promise<void> {
  await sql`insert into landfall.webhook_endpoints (id, url) values ('e', 'https://e.test')
    on conflict do nothing`.execute(db)
  await sql`insert into landfall.webhook_deliveries
    (id, endpoint_id, event_id, upload_id, owner_id, type, status, next_attempt_at)
    select gen_random_uuid()::text, 'e', min(id), min(upload_id), 'alice', 'media.ready', ${status},
           now() + make_interval(secs => ${dueInSeconds}) from landfall.events`.execute(db)
}

it('counts what is open, and nothing that has ended', async () => {
  const before = await countOpenUploads(db)
  await upload()
  const ended = await upload()
  await sql`update landfall.uploads set state = 'terminated' where id = ${ended}`.execute(db)
  expect(await countOpenUploads(db)).toBe(before + 1)
})

it('tells how much waits to be processed, for how long, and what has failed', async () => {
  expect(await processingBacklog(db)).toEqual({
    processing: 0,
    oldestSeconds: 0,
    failed: 0,
    behindSeconds: 0,
  })
  await media('processing', 5)
  await media('processing', 90)
  await media('failed', 500)
  await media('ready', 1000)
  const backlog = await processingBacklog(db)
  expect(backlog).toMatchObject({ processing: 2, failed: 1 })
  expect(backlog.oldestSeconds).toBeGreaterThanOrEqual(90)
  expect(backlog.oldestSeconds).toBeLessThan(120)
})

it('tells for how long new files wait, not those that are processed once more or whose steps are pruned', async () => {
  const before = (await processingBacklog(db)).behindSeconds
  const asked = await media('processing', 40 * 86_400)
  await sql`update landfall.media set is_asked_again = true where id = ${asked}`.execute(db)
  const begun = await media('processing', 40 * 86_400)
  await sql`update landfall.media set content_type = 'image/jpeg' where id = ${begun}`.execute(db)
  expect((await processingBacklog(db)).behindSeconds).toBeLessThan(before + 60)
  await media('processing', 1000)
  const { behindSeconds } = await processingBacklog(db)
  expect(behindSeconds).toBeGreaterThanOrEqual(1000)
  expect(behindSeconds).toBeLessThan(1060)
  await sql`update landfall.media set status = 'ready' where status = 'processing'`.execute(db)
})

it('tells how long steps took that ended lately, but for those that had nothing to do', async () => {
  const id = await media('ready', 0)
  await step(id, 'probe', 'done', 1)
  await step(id, 'probe', 'done', 3)
  await step(id, 'probe', 'failed', 7)
  await step(id, 'scan', 'done', 60, 3600)
  await sql`insert into landfall.processing_steps (media_id, step, attempt, status, finished_at, detail)
    values (${id}, 'thumbnail', 1, 'done', now(), '{"skipped": "a sound has no picture"}')`.execute(db)
  await sql`insert into landfall.processing_steps (media_id, step, attempt, status)
    values (${id}, 'image', 1, 'running')`.execute(db)
  expect(await stepTimes(db, 60_000)).toEqual([
    { step: 'probe', outcome: 'done', attempts: 2, meanSeconds: 2, maxSeconds: 3 },
    { step: 'probe', outcome: 'failed', attempts: 1, meanSeconds: 7, maxSeconds: 7 },
  ])
})

it('tells how many webhooks are pending, and for how long one has been due', async () => {
  await upload()
  expect(await webhookBacklog(db)).toEqual({ pending: 0, oldestDueSeconds: 0 })
  await delivery('pending', 30)
  await delivery('delivered', -500)
  expect(await webhookBacklog(db)).toEqual({ pending: 1, oldestDueSeconds: 0 })
  await delivery('pending', -70)
  const { pending, oldestDueSeconds } = await webhookBacklog(db)
  expect(pending).toBe(2)
  expect(oldestDueSeconds).toBeGreaterThanOrEqual(70)
  expect(oldestDueSeconds).toBeLessThan(100)
})

it('counts each event once, those that are young not yet', async () => {
  const after = await lastEventBefore(db, 0)
  await upload()
  await upload()
  expect(await lastEventBefore(db, 60_000)).toBe(0)
  const upTo = await lastEventBefore(db, 0)
  expect(await countEvents(db, { after, upTo })).toEqual([{ type: 'upload.created', count: 2 }])
  expect(await countEvents(db, { after: upTo, upTo })).toEqual([])
})

it('reads no table from end to end', async () => {
  // On a connection that has read nothing before.
  await using fresh = openLedger(connectionString)
  const scanned = await fresh.transaction().execute(async (trx) => {
    // Tables of a few rows would be: where there is an index, it is used.
    await sql`set local enable_seqscan = off`.execute(trx)
    await countOpenUploads(trx)
    await processingBacklog(trx)
    await stepTimes(trx, 60_000)
    await webhookBacklog(trx)
    await countEvents(trx, { after: 0, upTo: await lastEventBefore(trx, 0) })
    const { rows } = await sql<{ relname: string; seq_scan: number; idx_scan: number }>`
      select relname, seq_scan, idx_scan from pg_stat_xact_user_tables
       where schemaname = 'landfall' and seq_scan + idx_scan > 0`.execute(trx)
    return rows
  })
  expect(scanned.map(({ relname }) => relname).sort()).toEqual([
    'events',
    'media',
    'processing_steps',
    'uploads',
    'webhook_deliveries',
  ])
  expect(scanned.filter(({ seq_scan }) => seq_scan > 0)).toEqual([])
})

it('gives up what takes too long', async () => {
  await expect(
    withStatementTimeout(db, 50, async (trx) => await sql`select pg_sleep(10)`.execute(trx)),
  ).rejects.toThrow(/statement timeout/)
  expect(await withStatementTimeout(db, 50, async () => 'next')).toBe('next')
})
