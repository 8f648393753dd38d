import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { asUploadId } from '../test/support/ids.ts'
import { freshDatabase } from '../test/support/landfall.ts'
import {
  created,
  leaseOf,
  lockUsage,
  newUpload,
  openLedger,
  SIZE,
  UNLIMITED,
} from '../test/support/ledger.ts'
import { countedUsage, impliedUsage } from '../test/support/quota.ts'
import { createUpload } from './creation.ts'
import type { Ledger, LedgerTransaction } from './database.ts'
import type { DueMedia } from './due-work.ts'
import { finishUpload } from './finishing.ts'
import { type MediaId, newMediaId, type OwnerId } from './ids.ts'
import type { Append } from './uploads.ts'

const LEASE_LOST = { kind: 'lease-lost' }
const COMMITTED = { kind: 'committed', contended: false }

describe('uploads that are finished at the same time', () => {
  let db: Ledger
  /** Jobs of transactions, committed or not. */
  let jobs: MediaId[]
  beforeEach(async () => {
    db = openLedger(await freshDatabase())
    jobs = []
    await sql`create table jobs (media_id text)`.execute(db)
  })
  afterEach(async () => {
    await db?.destroy()
  })

  const enqueue = async (trx: LedgerTransaction, due: readonly DueMedia[]) => {
    const mediaIds = due.map(({ id }) => id)
    expect(due.map(({ size }) => size)).toEqual(due.map(() => SIZE))
    jobs.push(...mediaIds)
    await sql`insert into jobs select unnest(${mediaIds}::text[])`.execute(trx)
  }
  const finish = (append: Append, mediaId = newMediaId()) => finishUpload(db, append, mediaId, enqueue)

  /** An upload of `owner` with nothing stored yet, and the append that would finish it. */
  async function begin(owner: string): Promise<Append> {
    const id = created(await createUpload(db, newUpload(owner), UNLIMITED))
    const ownerId = owner as OwnerId
    return { id, ownerId, fence: await leaseOf(db, owner, id), offset: 0, to: SIZE }
  }
  const beginAll = async (...owners: string[]) => {
    const appends: Append[] = []
    for (const owner of owners) appends.push(await begin(owner))
    return appends
  }
  const stateOf = async ({ id }: Append) =>
    await db
      .selectFrom('landfall.uploads')
      .select(['state', 'offset', 'media_id'])
      .where('id', '=', id)
      .executeTakeFirst()

  /** Everything that finishing changes must agree. */
  async function expectFinished(owners: string[], count: number) {
    expect(await countedUsage(db, owners)).toEqual(await impliedUsage(db, owners))
    const { rows } = await sql<Record<string, string[]>>`
      select (select array_agg(media_id order by media_id) from landfall.uploads where state = 'received') as uploads,
             (select array_agg(id order by id) from landfall.media) as media,
             (select array_agg(media_id order by media_id) from landfall.events
               where type = 'upload.received') as events,
             (select array_agg(media_id order by media_id) from jobs) as jobs`.execute(db)
    const [row] = rows
    expect(row?.uploads ?? []).toHaveLength(count)
    expect([row?.media, row?.events, row?.jobs]).toEqual([row?.uploads, row?.uploads, row?.uploads])
  }
  const leases = async () => await db.selectFrom('landfall.upload_locks').select('upload_id').execute()

  it('each become a media with a job, are charged to their owners, and give their leases back', async () => {
    const appends = await beginAll('alice', 'bob', 'alice', 'carol', 'alice')
    const mediaIds = appends.map(() => newMediaId())
    const results = await Promise.all(appends.map((append, index) => finish(append, mediaIds[index])))
    expect(results).toEqual(Array(5).fill(COMMITTED))
    for (const [index, append] of appends.entries()) {
      expect(await stateOf(append)).toEqual({ state: 'received', offset: SIZE, media_id: mediaIds[index] })
    }
    expect(await leases()).toEqual([])
    await expectFinished(['alice', 'bob', 'carol'], 5)
  })

  it('are fenced off one by one: what is not as expected stays as it is, and the others are finished', async () => {
    const appends = await beginAll(...Array(6).fill('alice'))
    const [good, lost, elsewhere, short, ended, alsoGood] = appends
    if (!good || !lost || !elsewhere || !short || !ended || !alsoGood) throw new Error('not begun')
    await db.updateTable('landfall.uploads').set({ offset: 1 }).where('id', '=', elsewhere.id).execute()
    await db.updateTable('landfall.uploads').set({ state: 'terminated' }).where('id', '=', ended.id).execute()
    await db
      .updateTable('landfall.quota_usage')
      .set({ open_uploads: 5, reserved_bytes: 5 * SIZE })
      .execute()
    const results = await Promise.all([
      finish(good),
      finish({ ...lost, fence: crypto.randomUUID() }),
      finish(elsewhere),
      finish({ ...short, to: SIZE - 1 }),
      finish(ended),
      finish(alsoGood),
    ])
    expect(results).toEqual([COMMITTED, LEASE_LOST, LEASE_LOST, LEASE_LOST, LEASE_LOST, COMMITTED])
    expect(await stateOf(lost)).toEqual({ state: 'open', offset: 0, media_id: null })
    expect(await stateOf(short)).toEqual({ state: 'open', offset: 0, media_id: null })
    // The lease that somebody else has is still there.
    expect(await leases()).toContainEqual({ upload_id: lost.id })
    expect(jobs).toHaveLength(2)
    await expectFinished(['alice'], 2)
  })

  it('are finished once, were it asked for twice', async () => {
    const appends = await beginAll('alice', 'alice')
    const results = await Promise.all([...appends, ...appends, ...appends].map((append) => finish(append)))
    expect(results.filter(({ kind }) => kind === 'committed')).toHaveLength(2)
    await expectFinished(['alice'], 2)
  })

  it('tell each holder, and no other, that somebody waits for its lease', async () => {
    const appends = await beginAll('alice', 'alice', 'alice')
    await db
      .updateTable('landfall.upload_locks')
      .set({ contended: true })
      .where('upload_id', '=', asUploadId(appends[1]?.id ?? ''))
      .execute()
    const results = await Promise.all(appends.map((append) => finish(append)))
    expect(results).toEqual([COMMITTED, { kind: 'committed', contended: true }, COMMITTED])
  })

  it('do not wait for an owner who is busy elsewhere', async () => {
    const [busy, ...others] = await beginAll('busy', 'free', 'free')
    if (!busy) throw new Error('not begun')
    const release = await lockUsage(db, 'busy')
    let isDone = false
    const waiting = finish(busy).finally(() => {
      isDone = true
    })
    expect(await Promise.all(others.map((append) => finish(append)))).toEqual([COMMITTED, COMMITTED])
    expect(isDone).toBe(false)
    await release()
    expect(await waiting).toEqual(COMMITTED)
    await expectFinished(['busy', 'free'], 3)
  })

  it('all stay as they were when no job can be enqueued', async () => {
    const appends = await beginAll('alice', 'bob')
    await sql`alter table jobs add constraint full_up check (media_id is null)`.execute(db)
    const outcomes = await Promise.allSettled(appends.map((append) => finish(append)))
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(await leases()).toHaveLength(2)
    await expectFinished(['alice', 'bob'], 0)
    await sql`alter table jobs drop constraint full_up`.execute(db)
    expect(await Promise.all(appends.map((append) => finish(append)))).toEqual([COMMITTED, COMMITTED])
    await expectFinished(['alice', 'bob'], 2)
  })

  it('all stay as they were when the connection ends before the commit', async () => {
    const appends = await beginAll('alice', 'bob')
    const ending = async (trx: LedgerTransaction, due: readonly DueMedia[]) => {
      await enqueue(trx, due)
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(trx)
      await sql`select pg_terminate_backend(${rows[0]?.pid})`.execute(db)
    }
    const outcomes = await Promise.allSettled(
      appends.map((append) => finishUpload(db, append, newMediaId(), ending)),
    )
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    // The pool may not know at once that it is gone.
    await vi.waitFor(async () => expect(await leases()).toHaveLength(2))
    await expectFinished(['alice', 'bob'], 0)
    expect(await Promise.all(appends.map((append) => finish(append)))).toEqual([COMMITTED, COMMITTED])
    await expectFinished(['alice', 'bob'], 2)
  })
})
