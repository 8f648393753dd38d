import { readFile } from 'node:fs/promises'
import { sql } from 'kysely'
import type { PgBoss } from 'pg-boss'
import { afterEach, expect, it } from 'vitest'
import { openQueues, QUEUES, removalEnqueuer } from '../jobs/queues.ts'
import { EndLog } from '../ledger/end-log.ts'
import { newMediaId, newUploadId } from '../ledger/ids.ts'
import { eraser } from '../processing/erasure.ts'
import { jpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { beginBucketForm, postBucketForm } from './support/bucket-forms.ts'
import { type Landfall, type LandfallOptions, startLandfall } from './support/landfall.ts'
import { filesBelow } from './support/leftovers.ts'
import { openAppend } from './support/open-append.ts'
import { QUIET } from './support/quiet.ts'
import { countedUsage, impliedUsage } from './support/quota.ts'
import { everyTable, rowsHolding } from './support/rows-holding.ts'
import { startS3Landfall } from './support/s3-landfall.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { untilReceived } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { leftIn } from './support/stored.ts'
import { inTenant } from './support/tenant.ts'
import { create, createId, head, patch, terminate } from './support/tus.ts'
import { process } from './support/uploads.ts'
import { SECRETS, startReceiver, status } from './support/webhook-receiver.ts'

const ffmpeg = requires('ffmpeg')
const SUB = 'erika.mustermann@example.org'
const BYTES = asJpeg(Buffer.alloc(300_000, 'x'))
const ENV = {
  SCAN: 'off',
  AUTH_TENANT: 'optional',
  UPLOAD_MAX_OPEN: '1000',
  S3_PREFIX: 'files/{owner}/',
  PUBLISH: 'copy',
  PUBLIC_PREFIX: 'public/{owner}/',
  DEDUP: 'report',
}
const webhooksTo = ({ url }: { url: string }) => ({
  WEBHOOK_URL: url,
  WEBHOOK_SECRET: SECRETS.join(' '),
  WEBHOOK_ALLOW_PRIVATE: 'true',
})
const PATIENTLY = { timeout: 60_000, interval: 100 }

type Report = {
  id: string
  ownerId: string
  tenantId: string | null
  state: 'running' | 'done'
  counts: Record<string, number>
  left: number
  waitsFor: Record<string, number>
  kept: { what: string }[]
}

describeStorages.skipIf(!ffmpeg.met)('the erasure of an owner', (storage) => {
  const undo: (() => unknown)[] = []
  afterEach(async () => {
    for (const release of undo.splice(0).reverse()) await release()
  })

  async function start(options: LandfallOptions = {}): Promise<Landfall> {
    const landfall = await startLandfall({ storage, ...options, env: { ...ENV, ...options.env } })
    undo.push(() => landfall.close())
    return landfall
  }
  async function queuesOf(landfall: Landfall): Promise<PgBoss> {
    const boss = await openQueues({ db: landfall.db, supervise: false, onError: () => {} })
    undo.push(() => boss.stop({ close: false, graceful: false }))
    return boss
  }

  const service = (landfall: Landfall, tenant: string | null = null) =>
    inTenant(landfall, tenant, 'service').as('backend')
  const address = (sub: string) => `/api/v1/owners/${encodeURIComponent(sub)}`

  async function ask(landfall: Landfall, sub: string, tenant: string | null = null): Promise<Report> {
    const answer = await service(landfall, tenant)(address(sub), { method: 'DELETE' })
    expect(answer.status).toBe(202)
    return (await answer.json()) as Report
  }
  async function reportOf(landfall: Landfall, sub: string, tenant: string | null = null): Promise<Report> {
    const answer = await service(landfall, tenant)(`${address(sub)}/erasure`)
    expect(answer.status).toBe(200)
    return (await answer.json()) as Report
  }

  /** What was cut off in a bucket is looked after for a while: lets that pass. */
  async function passLateCalls({ db }: Landfall, boss: PgBoss): Promise<void> {
    await sql`update landfall.upload_tails set dropped_at = dropped_at - interval '1 hour'`.execute(db)
    await sql`update landfall.uploads set updated_at = updated_at - interval '1 hour' where state <> 'open'`.execute(
      db,
    )
    await boss.send(QUEUES.reaping, {})
    await sql`select pg_notify('landfall', '{"t":"event","id":"","queue":"reaping"}')`.execute(db)
  }

  async function untilDone(landfall: Landfall, sub: string, tenant: string | null = null): Promise<Report> {
    const boss = await queuesOf(landfall)
    await expect
      .poll(async () => {
        const report = await reportOf(landfall, sub, tenant)
        if ((report.waitsFor.lateCalls ?? 0) > 0) await passLateCalls(landfall, boss)
        return report
      }, PATIENTLY)
      .toMatchObject({ state: 'done' })
    return await reportOf(landfall, sub, tenant)
  }

  /** Something of every kind for an owner, with `mark` wherever a text can be. */
  async function fill(landfall: Landfall, tenant: string | null, sub: string, mark: string): Promise<void> {
    const target = inTenant(landfall, tenant)
    const metadata = {
      filename: `${mark}-file.jpg`,
      title: `${mark} title`,
      description: `${mark} description`,
      attachedToType: 'course',
      attachedToId: `${mark}-course`,
      note: `${mark} note`,
    }
    const picture = await jpeg({ width: 640, height: 480 })
    const file = { ...picture, name: `${mark}-picture.jpg` }
    const [ready, , deleted, purged] = [
      await process(target, sub, file),
      await process(target, sub, file),
      await process(target, sub, file),
      await process(target, sub, file),
    ]
    for (const one of [ready, deleted, purged]) expect(one?.status).toBe('ready')
    const patched = await target.as(sub)(`/api/v1/media/${ready?.id}`, {
      method: 'PATCH',
      headers: { 'Content-Type': 'application/merge-patch+json' },
      body: JSON.stringify({ title: `${mark} new title`, metadata: { more: `${mark} more` } }),
    })
    expect(patched.status).toBe(200)
    for (const one of [ready, deleted]) {
      const link = await target.as(sub)(`/api/v1/media/${one?.id}/links`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ filename: `${mark}-download.jpg` }),
      })
      expect(link.status).toBe(201)
    }
    await target.as(sub)(`/api/v1/media/${deleted?.id}`, { method: 'DELETE' })
    await target.as(sub)(`/api/v1/media/${purged?.id}?purge=true`, { method: 'DELETE' })
    // Not a picture: rejected.
    const text = { size: 2000, metadata: { ...metadata, filetype: 'image/jpeg' } }
    await create(target, sub, { ...text, body: Buffer.alloc(2000, '<html>') })
    // Open, with bytes and without, ended, and in parts.
    const open = await createId(target, sub, { size: BYTES.length, metadata })
    await patch(target, sub, open, { offset: 0, body: BYTES.subarray(0, 100_000) })
    await createId(target, sub, { size: BYTES.length, metadata })
    const ended = await createId(target, sub, { size: BYTES.length, metadata })
    await patch(target, sub, ended, { offset: 0, body: BYTES.subarray(0, 1000) })
    await terminate(target, sub, ended)
    const part = await createId(target, sub, {
      size: BYTES.length,
      metadata,
      headers: { 'Upload-Concat': 'partial' },
    })
    await patch(target, sub, part, { offset: 0, body: BYTES.subarray(0, 1000) })
    const whole = await createId(target, sub, {
      size: BYTES.length,
      metadata,
      headers: { 'Upload-Concat': 'partial' },
      body: BYTES,
    })
    const final = await fetch(`${target.url}/files`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${target.token(sub)}`,
        'Tus-Resumable': '1.0.0',
        'Upload-Concat': `final;/files/${whole}`,
      },
    })
    expect(final.status).toBe(201)
    // Tickets, limits, turns.
    const ticket = await inTenant(landfall, tenant, 'service').as('backend')('/api/v1/tickets', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ owner: sub, title: `${mark} ticket`, metadata: { of: `${mark} ticket` } }),
    })
    expect(ticket.status).toBe(201)
    await target.as(sub)('/api/v1/events/tickets', { method: 'POST' })
    await sql`
      insert into landfall.quotas (owner_id, bytes_limit)
      select owner_id, 10000000000 from landfall.quota_usage where owner_id in (
        select owner_id from landfall.uploads where id = ${open}
      )`.execute(landfall.db)
    await sql`
      insert into landfall.turns (kind, owner_id, until_ms)
      select 'transcoding', owner_id, 4000000000000 from landfall.uploads where id = ${open}`.execute(
      landfall.db,
    )
  }

  it('leaves no row with its id, names or metadata and no object, and nothing of others is touched', async () => {
    const receiver = await startReceiver()
    undo.push(() => receiver.close())
    const landfall = await start({ env: webhooksTo(receiver) })
    const { db } = landfall
    await fill(landfall, 'globex', SUB, 'globex-mark')
    await fill(landfall, null, SUB, 'alone-mark')
    const keysOfOthers = await landfall.stored.keys()
    const ofOthers = async () => {
      const { rows } = await sql<{ n: unknown }>`
        select (select count(*) from landfall.uploads where owner_id not like 'acme%') as uploads,
               (select count(*) from landfall.media where owner_id not like 'acme%') as media,
               (select count(*) from landfall.events where owner_id not like 'acme%') as events,
               (select count(*) from landfall.webhook_deliveries where owner_id not like 'acme%') as deliveries,
               (select count(*) from landfall.upload_tickets where owner_id not like 'acme%') as tickets,
               (select count(*) from landfall.quotas where owner_id not like 'acme%') as quotas,
               (select jsonb_agg(u order by owner_id) from landfall.quota_usage u where owner_id not like 'acme%') as usage`.execute(
        db,
      )
      return rows[0]
    }
    await fill(landfall, 'acme', SUB, 'acme-mark')
    const before = await ofOthers()
    const mine = `acme\\u001f${SUB}`
    const ids = await db
      .selectFrom('landfall.uploads')
      .select(['id', 'media_id'])
      .where('tenant_id', '=', 'acme')
      .execute()
    const needles = [mine, 'acme-mark', 'acme', ...ids.flatMap(({ id, media_id }) => [id, media_id ?? id])]
    expect((await rowsHolding(db, [mine])).length).toBeGreaterThan(30)

    const asked = await service(landfall, 'acme')(address(SUB), { method: 'DELETE' })
    expect(asked.status).toBe(202)
    expect(asked.headers.get('Location')).toBe(`${landfall.url}${address(SUB)}/erasure?tenant=acme`)
    const report = await untilDone(landfall, SUB, 'acme')
    expect(report).toMatchObject({ ownerId: SUB, tenantId: 'acme', left: 0 })
    expect(report.counts).toMatchObject({
      // Of which the partials are two.
      uploadsEnded: 4,
      // One was purged before.
      mediaPurged: 4,
      uploads: 11,
      media: 5,
      tickets: 1,
      deliveriesDropped: 0,
    })
    expect(report.counts.bytes).toBeGreaterThan(BYTES.length)
    expect(report.counts.objects).toBeGreaterThan(10)
    expect(report.counts.events).toBeGreaterThan(20)
    expect(report.kept.map(({ what }) => what)).toEqual(['report', 'metrics', 'logs', 'backups', 'receivers'])

    expect(await rowsHolding(db, needles)).toEqual([])
    expect(await landfall.stored.keys()).toEqual(keysOfOthers)
    expect(await landfall.stored.openMultiparts()).toEqual([])
    expect((await filesBelow(landfall.dataDirectory)).filter((path) => path.includes('acme'))).toEqual([])
    expect(await ofOthers()).toEqual(before)
    const told = receiver.received.filter(({ data }) => data.tenantId === 'acme').map(({ type }) => type)
    expect(told.filter((type) => type === 'media.purged')).toHaveLength(5)
    // They go on as if nothing had happened.
    const others = inTenant(landfall, 'globex')
    const list = (await (await others.as(SUB)('/api/v1/media')).json()) as { items: { title: string }[] }
    expect(list.items.some(({ title }) => title === 'globex-mark new title')).toBe(true)
    expect((await service(landfall, 'globex')(`${address(SUB)}/erasure`)).status).toBe(404)
  }, 120_000)

  it('looks at every table that there is', async () => {
    const landfall = await start({ withoutWorker: true })
    const tables = await everyTable(landfall.db)
    for (const table of ['landfall.uploads', 'landfall.webhook_attempts', 'pgboss.job'])
      expect(tables).toContain(table)
    // One with the id of an owner is known to the erasure.
    const { rows } = await sql<{ name: string }>`
      select table_name as name from information_schema.columns
       where table_schema = 'landfall' and column_name = 'owner_id' order by 1`.execute(landfall.db)
    expect(rows.map(({ name }) => name)).toEqual([
      'direct_uploads',
      'events',
      'media',
      'media_links',
      'owner_erasures',
      'quota_usage',
      'quotas',
      'stream_tickets',
      'turns',
      'upload_tickets',
      'uploads',
      'webhook_deliveries',
    ])
  })

  it('is for services and admins of its tenant', async () => {
    const landfall = await start({ withoutWorker: true })
    const outcome = async (sub: string, tenant: string | null, scope: string | undefined, query = '') =>
      (await inTenant(landfall, tenant, scope).as(sub)(`${address(SUB)}${query}`, { method: 'DELETE' }))
        .status
    expect(await outcome(SUB, 'acme', undefined)).toBe(403)
    expect(await outcome('backend', 'globex', 'service', '?tenant=acme')).toBe(403)
    expect(await outcome('root', 'globex', 'admin', '?tenant=acme')).toBe(403)
    expect(await outcome('backend', null, 'service', '?tenant=acme')).toBe(403)
    expect(await outcome('root', 'acme', 'admin', '?owner=bob')).toBe(400)
    expect(await outcome('root', 'acme', 'admin', `?owner=${encodeURIComponent(SUB)}`)).toBe(202)
    expect(await outcome('root', null, 'admin', '?tenant=acme')).toBe(202)
    expect(await outcome('backend', 'acme', 'service')).toBe(202)
    const ticket = await service(landfall)('/api/v1/tickets', {
      method: 'POST',
      body: '{}',
      headers: { 'Content-Type': 'application/json' },
    })
    const { token } = (await ticket.json()) as { token: string }
    const byTicket = await fetch(`${landfall.url}${address(SUB)}`, {
      method: 'DELETE',
      headers: { Authorization: `Bearer ${token}` },
    })
    expect(byTicket.status).toBe(403)
    const { rows } = await sql`select distinct owner_id from landfall.owner_erasures`.execute(landfall.db)
    expect(rows).toEqual([{ owner_id: `acme\u001f${SUB}` }])
    const tooLong = await service(landfall)(`/api/v1/owners/${'x'.repeat(256)}`, { method: 'DELETE' })
    expect(tooLong.status).toBe(404)
  })

  it('runs once, however often it is asked for, and anew for what came since', async () => {
    const landfall = await start()
    // Of one who never was here.
    const nobody = await ask(landfall, 'nobody')
    expect(await untilDone(landfall, 'nobody')).toMatchObject({ id: nobody.id, counts: { uploads: 0 } })
    await createId(landfall, SUB, { size: 2000 })
    const asked = await Promise.all(Array.from({ length: 8 }, () => ask(landfall, SUB)))
    const first = await untilDone(landfall, SUB)
    expect(asked.map(({ id }) => id)).toEqual(asked.map(() => first.id))
    expect(first.counts).toMatchObject({ uploadsEnded: 1, uploads: 1 })
    // A backend that missed the answer is told what was done.
    expect(await ask(landfall, SUB)).toMatchObject({ id: first.id, state: 'done' })
    await createId(landfall, SUB, { size: 2000 })
    const second = await ask(landfall, SUB)
    expect(second.id).not.toBe(first.id)
    expect(await untilDone(landfall, SUB)).toMatchObject({ id: second.id, counts: { uploads: 1 } })
  }, 60_000)

  /** An erasure that is asked for without a worker, and run by hand. */
  async function byHand(landfall: Landfall) {
    const boss = await queuesOf(landfall)
    const wanted: string[] = []
    const { id: erasureId } = await ask(landfall, SUB)
    return async (onPage?: () => void) => {
      const erase = eraser({
        db: landfall.db,
        boss,
        ends: new EndLog(QUIET),
        notifyRemoval: () => {},
        wantLease: (id) => {
          wanted.push(id)
          void sql`select pg_notify('landfall', ${JSON.stringify({ t: 'lease-wanted', id })})`.execute(
            landfall.db,
          )
        },
        log: QUIET,
        ...(onPage ? { onPage } : {}),
      })
      return await erase({ data: { erasureId }, signal: new AbortController().signal })
    }
  }

  it('goes on where it was killed, and counts nothing twice', async () => {
    const landfall = await start({ withoutWorker: true })
    const sizes = Array.from({ length: 250 }, () => 2000)
    for (const size of sizes) await createId(landfall, SUB, { size })
    await createId(landfall, 'bob', { size: 2000 })
    const run = await byHand(landfall)
    const killed = async (atPage: number) => {
      let page = 0
      await expect(
        run(() => {
          page += 1
          if (page === atPage) throw new Error('killed')
        }),
      ).rejects.toThrow('killed')
    }
    // Each gets one page further, as what is done is not found again.
    for (let i = 0; i < 3; i++) await killed(1)
    const boss = await queuesOf(landfall)
    const waiting = await run()
    expect(waiting?.data).toMatchObject({ waits: 1 })
    expect(await reportOf(landfall, SUB)).toMatchObject({
      state: 'running',
      left: 250,
      waitsFor: { storage: 250 },
      counts: { uploadsEnded: 250, uploads: 0 },
    })
    await boss.deleteAllJobs(QUEUES.removal)
    await killed(2)
    expect(await run()).toBeUndefined()
    expect(await run()).toBeUndefined()
    expect(await reportOf(landfall, SUB)).toMatchObject({
      state: 'done',
      counts: { uploadsEnded: 250, uploads: 250, events: 500 },
    })
    expect(await rowsHolding(landfall.db, [SUB])).toEqual([])
    expect(await countedUsage(landfall.db, ['bob'])).toEqual(await impliedUsage(landfall.db, ['bob']))
  }, 60_000)

  it('is resumed by the reaper when its job was lost', async () => {
    const landfall = await start({ withoutWorker: true })
    await createId(landfall, SUB, { size: 2000 })
    await ask(landfall, SUB)
    const boss = await queuesOf(landfall)
    await boss.deleteAllJobs(QUEUES.erasure)
    await sql`update landfall.owner_erasures set started_at = now() - interval '2 minutes'`.execute(
      landfall.db,
    )
    await sql`update landfall.uploads set created_at = now() - interval '3 minutes'`.execute(landfall.db)
    const beside = await start({ beside: landfall, env: landfall.storageEnv })
    expect(await untilDone(beside, SUB)).toMatchObject({ counts: { uploads: 1 } })
  }, 60_000)

  it('stops a request that sends, and nothing that arrives later comes back', async () => {
    const landfall = await start()
    const id = await createId(landfall, SUB, { size: BYTES.length })
    const append = await openAppend('tus 1.0', landfall, SUB, id, {
      offset: 0,
      bytes: BYTES.length,
      isLast: true,
    })
    undo.push(() => append.destroy())
    await append.send(BYTES.subarray(0, 100_000))
    await untilReceived(landfall, SUB, id, 100_000)
    await ask(landfall, SUB)
    expect([204, 423]).toContain(await append.answered)
    // It cannot hold the erasure up by sending again and again.
    expect([404, 410]).toContain(
      (await patch(landfall, SUB, id, { offset: 100_000, body: BYTES.subarray(100_000) })).status,
    )
    expect((await untilDone(landfall, SUB)).counts).toMatchObject({ uploadsEnded: 1, uploads: 1 })
    expect((await head(landfall, SUB, id)).status).toBe(404)
    expect((await patch(landfall, SUB, id, { offset: 100_000, body: BYTES })).status).toBe(404)
    expect(await rowsHolding(landfall.db, [SUB, id])).toEqual([])
    expect(await leftIn(landfall.stored)).toEqual([])
  }, 60_000)

  it('leaves uploads that began later as they are, whole', async () => {
    const landfall = await start({ withoutWorker: true })
    const file = await readFile((await jpeg({ width: 320, height: 240 })).path)
    await create(landfall, SUB, { size: file.length, body: file, metadata: { filename: 'early-mark.jpg' } })
    const run = await byHand(landfall)
    const late = await createId(landfall, SUB, {
      size: file.length,
      body: file,
      metadata: { filename: 'late-mark.jpg' },
    })
    await sql`update landfall.media set sha256 = 'same', duplicate_of = (
                select id from landfall.media where upload_id <> ${late}) where upload_id = ${late}`.execute(
      landfall.db,
    )
    await run()
    const boss = await queuesOf(landfall)
    await boss.deleteAllJobs(QUEUES.removal)
    expect(await run()).toBeUndefined()
    const report = await reportOf(landfall, SUB)
    expect(report).toMatchObject({ state: 'done', counts: { mediaPurged: 1, uploads: 1, media: 1 } })
    expect(report.kept.map(({ what }) => what)).toContain('newer')
    expect(await rowsHolding(landfall.db, ['early-mark'])).toEqual([])
    expect((await head(landfall, SUB, late)).status).toBe(200)
    const { rows } = await sql`select duplicate_of from landfall.media`.execute(landfall.db)
    expect(rows).toEqual([{ duplicate_of: null }])
    expect(await countedUsage(landfall.db, [SUB])).toEqual(await impliedUsage(landfall.db, [SUB]))
  })

  it('waits for a file that is being processed', async () => {
    const landfall = await start({ withoutWorker: true })
    const boss = await queuesOf(landfall)
    await create(landfall, SUB, { size: BYTES.length, body: BYTES })
    const [job] = await boss.fetch(QUEUES.processing)
    const run = await byHand(landfall)
    await run()
    const beside = await start({ beside: landfall, env: landfall.storageEnv })
    await expect.poll(async () => (await reportOf(beside, SUB)).waitsFor.storage, PATIENTLY).toBe(1)
    await expect.poll(() => landfall.stored.keys(), PATIENTLY).toEqual([])
    expect(await reportOf(beside, SUB)).toMatchObject({ state: 'running', left: 1 })
    await boss.complete(QUEUES.processing, job?.id ?? '')
    await untilDone(beside, SUB)
    expect(await rowsHolding(landfall.db, [SUB])).toEqual([])
  }, 60_000)

  it('removes history of uploads whose rows were pruned before', async () => {
    const landfall = await start()
    await sql`
      insert into landfall.events (type, upload_id, media_id, owner_id, data)
      values ('media.ready', ${newUploadId()}, ${newMediaId()}, ${SUB}, '{"note": "old-mark"}')`.execute(
      landfall.db,
    )
    await ask(landfall, SUB)
    expect((await untilDone(landfall, SUB)).counts).toMatchObject({ uploads: 0, events: 1 })
    expect(await rowsHolding(landfall.db, [SUB, 'old-mark'])).toEqual([])
  })

  it('takes thousands of files in pages', async () => {
    const landfall = await start({ withoutWorker: true })
    await createId(landfall, SUB, { size: 2000 })
    await sql`
      with ids as (
        select lpad(to_hex(n), 22, '0') as upload_id, lpad(to_hex(n), 22, 'm') as media_id, n from generate_series(1, 2000) n
      ), uploads as (
        insert into landfall.uploads (id, owner_id, protocol, state, size, "offset", metadata, filename, storage_backend,
                                      storage_key, reserved_bytes, media_id, expires_at, received_at)
        select upload_id, ${SUB}, 'tus-1.0', 'received', 10, 10, '{}', 'many-mark', ${storage}, 'uploads/' || upload_id, 10,
               media_id, now() + interval '1 day', now() from ids
      )
      insert into landfall.media (id, upload_id, owner_id, size, status, storage_backend, storage_key, metadata)
      select media_id, upload_id, ${SUB}, 10, 'ready', ${storage}, 'uploads/' || upload_id, '{}' from ids`.execute(
      landfall.db,
    )
    await sql`
      update landfall.quota_usage set used_bytes = used_bytes + 20000, finished_uploads = 2000
       where owner_id = ${SUB}`.execute(landfall.db)
    const run = await byHand(landfall)
    let pages = 0
    await run(() => {
      pages += 1
    })
    expect(pages).toBeGreaterThanOrEqual(20)
    expect(await reportOf(landfall, SUB)).toMatchObject({ counts: { mediaPurged: 2000, bytes: 20_000 } })
    const boss = await queuesOf(landfall)
    await boss.deleteAllJobs(QUEUES.removal)
    expect(await run()).toBeUndefined()
    expect(await rowsHolding(landfall.db, [SUB, 'many-mark'])).toEqual([])
  }, 60_000)

  it('drops what a webhook could not be told in ten minutes', async () => {
    const receiver = await startReceiver(status(500))
    undo.push(() => receiver.close())
    const landfall = await start({ env: webhooksTo(receiver) })
    const id = await createId(landfall, SUB, { size: 2000 })
    await ask(landfall, SUB)
    const boss = await queuesOf(landfall)
    await expect
      .poll(async () => {
        const { waitsFor } = await reportOf(landfall, SUB)
        if ((waitsFor.lateCalls ?? 0) > 0) await passLateCalls(landfall, boss)
        return waitsFor
      }, PATIENTLY)
      .toMatchObject({ webhooks: 1, storage: 0, lateCalls: 0 })
    await sql`update landfall.owner_erasures set started_at = now() - interval '11 minutes'`.execute(
      landfall.db,
    )
    expect((await untilDone(landfall, SUB)).counts).toMatchObject({ deliveries: 1, deliveriesDropped: 1 })
    expect(await rowsHolding(landfall.db, [SUB, id])).toEqual([])
  }, 120_000)

  if (storage === 's3') {
    it('waits for a bucket that is unavailable, says so, and goes on with it', async () => {
      const landfall = await startS3Landfall({ env: ENV })
      undo.push(() => landfall.close())
      await create(landfall, SUB, { size: BYTES.length, body: BYTES })
      await expect.poll(() => landfall.bucket.keys(), PATIENTLY).toHaveLength(1)
      const outage = landfall.proxy.fail({ what: 'refuse-503', when: () => true })
      await ask(landfall, SUB)
      await expect
        .poll(() => reportOf(landfall, SUB), PATIENTLY)
        .toMatchObject({ state: 'running', left: 1, waitsFor: { storage: 1 }, counts: { mediaPurged: 1 } })
      await expect.poll(() => outage.hits, PATIENTLY).toBeGreaterThan(0)
      expect(await landfall.bucket.keys()).toHaveLength(1)
      outage.stop()
      expect(await untilDone(landfall, SUB)).toMatchObject({ left: 0, counts: { uploads: 1 } })
      expect(await landfall.bucket.keys()).toEqual([])
      expect(await rowsHolding(landfall.db, [SUB])).toEqual([])
    }, 120_000)

    it('takes direct uploads, and what their links may still bring', async () => {
      const landfall = await start()
      const direct = async (path: string, init?: RequestInit) =>
        (await (await landfall.as(SUB)(`/api/v1/direct-uploads${path}`, init)).json()) as Record<
          string,
          unknown
        >
      const inJson = (body: object) => ({
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      })
      const { id } = await direct('', inJson({ size: 2000, filename: `${SUB}.jpg` }))
      const { parts } = await direct(`/${id}/parts`, inJson({ partNumbers: [1] }))
      const link = (parts as { url: string }[])[0]?.url ?? ''
      expect((await fetch(link, { method: 'PUT', body: BYTES.subarray(0, 2000) })).status).toBe(200)
      const form = await beginBucketForm(landfall.as(SUB), `filename=${encodeURIComponent(SUB)}.jpg`)

      await ask(landfall, SUB)
      await expect.poll(() => leftIn(landfall.stored), PATIENTLY).toEqual([])
      // Its links are still valid.
      expect((await fetch(link, { method: 'PUT', body: BYTES.subarray(0, 2000) })).status).toBe(404)
      expect((await postBucketForm(form, BYTES)).status).toBe(204)
      expect((await reportOf(landfall, SUB)).state).toBe('running')
      await sql`update landfall.upload_tails set late_until = now() - interval '1 second'`.execute(
        landfall.db,
      )
      await untilDone(landfall, SUB)
      expect(await leftIn(landfall.stored)).toEqual([])
      expect(await rowsHolding(landfall.db, [SUB])).toEqual([])
    })
  }

  it('asks anew for a removal that was given up', async () => {
    const landfall = await start({ withoutWorker: true })
    const boss = await queuesOf(landfall)
    const id = await createId(landfall, SUB, { size: 2000 })
    await terminate(landfall, SUB, id)
    await boss.deleteAllJobs(QUEUES.removal)
    await landfall.db.transaction().execute((trx) => removalEnqueuer(boss)(trx, id))
    await sql`update pgboss.job set state = 'failed', completed_on = now() where name = ${QUEUES.removal}`.execute(
      landfall.db,
    )
    const run = await byHand(landfall)
    await run()
    const states = (await boss.findJobs(QUEUES.removal)).map(({ state }) => state).sort()
    expect(states).toEqual(['created', 'failed'])
  })
})
