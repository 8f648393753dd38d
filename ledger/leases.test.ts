import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { freshDatabase } from '../test/support/landfall.ts'
import { created, leaseOf, newUpload, openLedger, UNLIMITED } from '../test/support/ledger.ts'
import { createUpload } from './creation.ts'
import type { Ledger } from './database.ts'
import { newUploadId, type OwnerId, type UploadId } from './ids.ts'
import { type Lease, LeaseKeeper } from './lease-keeper.ts'
import { type HeldLease, renewLeases, takeLease, type WantedLease } from './leases.ts'

const TAKEN = { kind: 'taken' }
const HELD = { kind: 'held', expiresInMs: expect.any(Number) }
const ABSENT = { kind: 'absent' }

describe('leases that are wanted at the same time', () => {
  let db: Ledger
  beforeEach(async () => {
    db = openLedger(await freshDatabase())
  })
  afterEach(async () => {
    await db?.destroy()
  })

  const createOne = async () => created(await createUpload(db, newUpload('alice'), UNLIMITED))
  const want = (uploadId: UploadId, changes: Partial<WantedLease> = {}) =>
    takeLease(db, {
      uploadId,
      ownerId: 'alice' as OwnerId,
      holder: 'test',
      fence: crypto.randomUUID(),
      ttlMs: 60_000,
      ...changes,
    })
  const contended = async () =>
    (
      await db.selectFrom('landfall.upload_locks').select('upload_id').where('contended', '=', true).execute()
    ).map(({ upload_id }) => upload_id)

  it('are had by one for each upload; the holder is told of the other', async () => {
    const [one, two, three] = [await createOne(), await createOne(), await createOne()]
    await leaseOf(db, 'alice', three)
    const [free, held, absent, ...both] = await Promise.all([
      want(two),
      want(three),
      want(newUploadId()),
      want(one),
      want(one),
    ])
    expect([free, held, absent]).toEqual([TAKEN, HELD, ABSENT])
    expect(both.toSorted((a, b) => a.kind.localeCompare(b.kind))).toEqual([HELD, TAKEN])
    expect((await contended()).sort()).toEqual([one, three].sort())
  })

  it('are not a stranger’s to take or to ask for', async () => {
    const [one, two] = [await createOne(), await createOne()]
    const stranger = { ownerId: 'mallory' as OwnerId }
    expect(await Promise.all([want(one, stranger), want(one), want(two, stranger)])).toEqual([
      ABSENT,
      TAKEN,
      ABSENT,
    ])
    expect(await want(one, stranger)).toEqual(ABSENT)
    expect(await contended()).toEqual([])
  })

  it('are taken over when they have expired', async () => {
    const [one, two] = [await createOne(), await createOne()]
    await leaseOf(db, 'alice', one)
    await sql`update landfall.upload_locks set expires_at = now() - interval '1 second'`.execute(db)
    const fence = crypto.randomUUID()
    expect(await Promise.all([want(one, { fence }), want(two)])).toEqual([TAKEN, TAKEN])
    const row = await db
      .selectFrom('landfall.upload_locks')
      .select('fence')
      .where('upload_id', '=', one)
      .executeTakeFirst()
    expect(row).toEqual({ fence })
  })

  it('do not wait for one whose row is locked', async () => {
    const [locked, free] = [await createOne(), await createOne()]
    await leaseOf(db, 'alice', locked)
    const release = Promise.withResolvers<void>()
    const ready = Promise.withResolvers<void>()
    const holder = db.transaction().execute(async (trx) => {
      await trx.deleteFrom('landfall.upload_locks').where('upload_id', '=', locked).execute()
      ready.resolve()
      await release.promise
    })
    await ready.promise
    const waiting = want(locked)
    expect(await want(free)).toEqual(TAKEN)
    release.resolve()
    await holder
    expect(await waiting).toEqual(TAKEN)
  })

  it('are renewed without one whose row is locked, which is not lost by that', async () => {
    const [locked, free, lost] = [await createOne(), await createOne(), await createOne()]
    const held: HeldLease[] = []
    for (const uploadId of [locked, free, lost]) {
      held.push({ uploadId, fence: await leaseOf(db, 'alice', uploadId) })
    }
    await db
      .updateTable('landfall.upload_locks')
      .set({ fence: crypto.randomUUID() })
      .where('upload_id', '=', lost)
      .execute()
    const release = Promise.withResolvers<void>()
    const ready = Promise.withResolvers<void>()
    // The connection of one that finishes an upload is swallowed before its commit.
    const holder = db.transaction().execute(async (trx) => {
      await trx.deleteFrom('landfall.upload_locks').where('upload_id', '=', locked).execute()
      ready.resolve()
      await release.promise
    })
    await ready.promise
    try {
      const { renewed, skipped } = await db.transaction().execute(async (trx) => {
        await sql`set local lock_timeout = '1s'`.execute(trx)
        return await renewLeases(trx, held, 10_000)
      })
      expect([...renewed]).toEqual([[held[1]?.fence, { contended: false }]])
      expect([...skipped]).toEqual([held[0]?.fence])
    } finally {
      release.resolve()
      await holder
    }
    expect(await renewLeases(db, held, 10_000)).toMatchObject({ renewed: { size: 1 }, skipped: { size: 0 } })
  })

  it('stay with their requests while the row of another is locked for longer than they live', async () => {
    const ttlMs = 3000
    const bus = {
      onMessage: () => () => {},
      onReconnected: () => () => {},
      publish: async () => {},
    }
    const errors: unknown[] = []
    const keeper = new LeaseKeeper({
      db,
      renewals: db,
      bus,
      holder: 'test',
      ttlMs,
      onError: (error) => errors.push(error),
    })
    const take = async () => {
      const lease = await keeper.take({
        uploadId: await createOne(),
        ownerId: 'alice' as OwnerId,
        waitMs: 0,
        signal: new AbortController().signal,
        over: new AbortController().signal,
        onWanted: () => {},
      })
      if (typeof lease === 'string') throw new Error(lease)
      return lease
    }
    try {
      const [dead, slow, free] = [await take(), await take(), await take()]
      const lock = async ({ uploadId }: Lease) => {
        const release = Promise.withResolvers<void>()
        const ready = Promise.withResolvers<void>()
        const holder = db.transaction().execute(async (trx) => {
          await sql`select 1 from landfall.upload_locks where upload_id = ${uploadId} for update`.execute(trx)
          ready.resolve()
          await release.promise
        })
        await ready.promise
        return async () => {
          release.resolve()
          await holder
        }
      }
      const unlock = await lock(dead)
      const commit = await lock(slow)
      await expect.poll(() => performance.now() > slow.validUntil - ttlMs / 2, { timeout: ttlMs }).toBe(true)
      // Locked while the renewal came by, and not for long: it goes on.
      await commit()
      await expect.poll(() => dead.isCurrent(), { timeout: 3 * ttlMs }).toBe(false)
      expect([slow.isCurrent(), free.isCurrent()]).toEqual([true, true])
      expect(errors).toEqual([])
      await unlock()
    } finally {
      keeper.close()
    }
  }, 30_000)
})
