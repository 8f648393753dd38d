import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { asOwnerId } from '../test/support/ids.ts'
import { freshDatabase } from '../test/support/landfall.ts'
import { createFirst, lockUsage, newUpload, openLedger, SIZE, UNLIMITED } from '../test/support/ledger.ts'
import { countedUsage, impliedUsage } from '../test/support/quota.ts'
import { createUpload } from './creation.ts'
import type { Ledger } from './database.ts'
import { ownerIn, ownerOf } from './ids.ts'

describe('creations that arrive at the same time', () => {
  let db: Ledger
  /** Another server. */
  let other: Ledger
  beforeEach(async () => {
    const connectionString = await freshDatabase()
    db = openLedger(connectionString)
    other = openLedger(connectionString)
  })
  afterEach(async () => {
    await db?.destroy()
    await other?.destroy()
  })

  const kindsOf = async (uploads: ReturnType<typeof newUpload>[], limits = UNLIMITED) => {
    const results = await Promise.all(uploads.map((upload) => createUpload(db, upload, limits)))
    return results.map(({ kind }) => kind)
  }
  const expectCounted = async (...owners: string[]) =>
    expect(await countedUsage(db, owners)).toEqual(await impliedUsage(db, owners))

  it('go together again after those that went alone, as the first of an owner do', async () => {
    const client = async () => {
      for (let n = 0; n < 20; n++) await kindsOf([newUpload('zoe')])
    }
    await Promise.all(Array.from({ length: 16 }, client))
    const { rows } = await sql<{ transactions: number }>`
      select count(distinct xmin::text)::int as transactions from landfall.uploads`.execute(db)
    expect(rows[0]?.transactions).toBeLessThan(100)
    await expectCounted('zoe')
  })

  it('are what each would be by itself', async () => {
    await createFirst(db, 'alice')
    const wanted = [
      newUpload(ownerIn('a tenant', 'alice'), { metadata: { filename: '"\\ 😀', note: null } }),
      newUpload('alice', { size: null, filename: null, declaredType: null, reservedBytes: 2 ** 50 }),
      newUpload('bob'),
    ]
    const results = await Promise.all(wanted.map((upload) => createUpload(db, upload, UNLIMITED)))
    const lone = await createUpload(db, newUpload('carol'), UNLIMITED)
    for (const [index, result] of results.entries()) {
      const { ownerId, ...asked } = wanted[index] ?? newUpload('nobody')
      if (result.kind !== 'created' || lone.kind !== 'created') throw new Error('not created')
      const { upload } = result
      expect(upload).toMatchObject({
        id: asked.id,
        owner_id: ownerId,
        tenant_id: ownerOf(ownerId).tenantId,
        state: 'open',
        size: asked.size,
        offset: 0,
        metadata: asked.metadata,
        filename: asked.filename,
        declared_type: asked.declaredType,
        storage_key: asked.storageKey,
        reserved_bytes: asked.reservedBytes,
      })
      expect(upload.expires_at.getTime() - upload.created_at.getTime()).toBe(60_000)
      expect(Object.keys(upload).sort()).toEqual(Object.keys(lone.upload).sort())
    }
    await expectCounted('alice', 'bob')
    const { rows } = await sql`select 1 from landfall.events where type = 'upload.created'`.execute(db)
    expect(rows).toHaveLength(5)
  })

  it.each([
    ['bytes', { ...UNLIMITED, bytes: 5 * SIZE + 1 }, 'quota-bytes'],
    ['uploads', { ...UNLIMITED, uploads: 5 }, 'quota-uploads'],
    ['open uploads', { ...UNLIMITED, openUploads: 5 }, 'too-many-open'],
  ])(
    'never overbook the %s of an owner, and take nothing from a neighbour',
    async (_what, limits, refused) => {
      await createFirst(db, 'full', 'roomy')
      const kinds = await kindsOf(
        Array.from({ length: 24 }, (_, index) => newUpload(index % 6 === 0 ? 'roomy' : 'full')),
        limits,
      )
      const ofFull = kinds.filter((_kind, index) => index % 6 !== 0)
      expect(kinds.filter((_kind, index) => index % 6 === 0)).toEqual(Array(4).fill('created'))
      expect(ofFull.filter((kind) => kind === 'created')).toHaveLength(4)
      expect(ofFull.filter((kind) => kind === refused)).toHaveLength(16)
      await expectCounted('full', 'roomy')
    },
  )

  it('fill what is left of an owner’s own limit to the last byte', async () => {
    await createFirst(db, 'alice')
    await db
      .insertInto('landfall.quotas')
      .values({ owner_id: asOwnerId('alice'), bytes_limit: 4 * SIZE, uploads_limit: null })
      .execute()
    const limits = { ...UNLIMITED, bytes: 0 }
    expect(await kindsOf([newUpload('alice'), newUpload('alice')], limits)).toEqual(['created', 'created'])
    const kinds = await kindsOf([newUpload('alice'), newUpload('alice')], limits)
    expect(kinds.sort()).toEqual(['created', 'quota-bytes'])
    await expectCounted('alice')
  })

  it('on two servers never overbook either', async () => {
    await createFirst(db, 'alice')
    const limits = { ...UNLIMITED, bytes: 31 * SIZE }
    const results = await Promise.all(
      Array.from({ length: 60 }, (_, index) =>
        createUpload(index % 2 === 0 ? db : other, newUpload('alice'), limits),
      ),
    )
    expect(results.filter(({ kind }) => kind === 'created')).toHaveLength(30)
    await expectCounted('alice')
  })

  it('do not suffer from a bad one', async () => {
    await createFirst(db, 'alice')
    const good = newUpload('alice')
    const uploads = [
      newUpload('alice'),
      newUpload('alice', { metadata: { filename: 'no\u0000text' } }),
      good,
      newUpload('alice', { id: good.id }),
    ]
    const outcomes = await Promise.allSettled(uploads.map((upload) => createUpload(db, upload, UNLIMITED)))
    const statuses = outcomes.map(({ status }) => status)
    expect(statuses.slice(0, 2)).toEqual(['fulfilled', 'rejected'])
    expect(statuses.slice(2).sort()).toEqual(['fulfilled', 'rejected'])
    await expectCounted('alice')
  })

  it('do not wait for an owner who is busy elsewhere', async () => {
    await createFirst(db, 'busy', 'free')
    const release = await lockUsage(db, 'busy')
    let isDone = false
    const busy = kindsOf([newUpload('busy'), newUpload('busy')]).finally(() => {
      isDone = true
    })
    expect(await kindsOf([newUpload('free'), newUpload('free')])).toEqual(['created', 'created'])
    expect(await kindsOf([newUpload('free')])).toEqual(['created'])
    expect(isDone).toBe(false)
    await release()
    expect(await busy).toEqual(['created', 'created'])
    await expectCounted('busy', 'free')
  })

  it('all fail when their connection ends, leave nothing, and are not made again', async () => {
    await createFirst(db, 'alice', 'bob')
    const unblock = Promise.withResolvers<void>()
    const blocked = Promise.withResolvers<void>()
    const blocker = other.transaction().execute(async (trx) => {
      await sql`lock table landfall.events in exclusive mode`.execute(trx)
      blocked.resolve()
      await unblock.promise
    })
    await blocked.promise
    const creations = Promise.allSettled(
      ['alice', 'bob', 'alice'].map((owner) => createUpload(db, newUpload(owner), UNLIMITED)),
    )
    await vi.waitFor(async () => {
      const { rows } = await sql<{ ended: boolean }>`
        select pg_terminate_backend(pid) as ended from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'`.execute(other)
      expect(rows).toEqual([{ ended: true }])
    })
    const outcomes = await creations
    unblock.resolve()
    await blocker
    expect(outcomes.map(({ status }) => status)).toEqual(Array(3).fill('rejected'))
    // The pool may not know at once that it is gone.
    await vi.waitFor(async () => void (await sql`select 1`.execute(db)))
    const { rows } = await sql`select 1 from landfall.uploads`.execute(db)
    expect(rows).toHaveLength(2)
    await expectCounted('alice', 'bob')
    expect(await kindsOf([newUpload('alice'), newUpload('bob')])).toEqual(['created', 'created'])
  })

  it('go on while a migration adds a column', async () => {
    await createFirst(db, 'alice')
    expect(await kindsOf([newUpload('alice'), newUpload('alice')])).toEqual(['created', 'created'])
    await sql`alter table landfall.uploads add column added_later text`.execute(db)
    expect(await kindsOf([newUpload('alice'), newUpload('alice')])).toEqual(['created', 'created'])
  })
})
