import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { asOwnerId } from '../test/support/ids.ts'
import { freshDatabase } from '../test/support/landfall.ts'
import { createFirst, lockUsage, newUpload, UNLIMITED } from '../test/support/ledger.ts'
import { lockWaits } from '../test/support/lock-waits.ts'
import { betweenLooks } from '../test/support/pauses.ts'
import { createUpload } from './creation.ts'
import { type Ledger, openDatabase } from './database.ts'
import { shareOf, withOwnerLock, withOwnerShare } from './owner-share.ts'

const POOL = 6

describe('the share of an owner', () => {
  let db: Ledger
  let beside: Ledger

  beforeAll(async () => {
    const connectionString = await freshDatabase()
    const open = (applicationName: string) =>
      openDatabase({ connectionString, maxConnections: POOL, applicationName, onPoolError: () => {} })
    db = open('shared')
    beside = open('beside')
    await createFirst(db, 'alice', 'bob')
  })
  afterAll(async () => {
    await db?.destroy()
    await beside?.destroy()
  })

  it('is a third of the connections, and never all of them', () => {
    expect([2, 3, 4, 6, 10, 30].map(shareOf)).toEqual([1, 2, 2, 2, 3, 10])
  })

  it('is all that one owner has at a time; others wait for nobody', async () => {
    const open = Promise.withResolvers<void>()
    let running = 0
    let most = 0
    const floods = Array.from({ length: 40 }, () =>
      withOwnerShare(db, 'alice')
        .transaction()
        .execute(async (trx) => {
          running += 1
          most = Math.max(most, running)
          await sql`select 1`.execute(trx)
          await open.promise
          running -= 1
        }),
    )
    await expect.poll(() => running).toBe(shareOf(POOL))
    const { rows } = await sql<{ n: number }>`select 1 as n`.execute(withOwnerShare(db, 'bob'))
    expect(rows[0]?.n).toBe(1)
    open.resolve()
    await Promise.all(floods)
    expect(most).toBe(shareOf(POOL))
  })

  it('gives connections back whatever became of the work', async () => {
    for (let n = 0; n < 2 * POOL; n++)
      await expect(sql`select no_such_thing()`.execute(withOwnerShare(db, 'alice'))).rejects.toThrow()
    await sql`select 1`.execute(withOwnerShare(db, 'alice'))
  })

  it('lets one transaction at a time wait for what belongs to the owner as a whole', async () => {
    const unlock = await lockUsage(beside, 'alice')
    const creations = Array.from({ length: 40 }, () => createUpload(db, newUpload('alice'), UNLIMITED))
    const bobs = await createUpload(db, newUpload('bob'), UNLIMITED)
    expect(bobs.kind).toBe('created')
    // One at most, and it keeps its connection for a tenth of a second only.
    let waited = 0
    for (let look = 0; look < 20; look++) {
      waited = Math.max(waited, await lockWaits(beside, 'shared'))
      await betweenLooks(10)
    }
    expect(waited).toBeLessThanOrEqual(1)
    await unlock()
    const kinds = (await Promise.all(creations)).map(({ kind }) => kind)
    expect(kinds).toEqual(kinds.map(() => 'created'))
  })

  it('does the work again, from its beginning, when a lock was not free', async () => {
    const unlock = await lockUsage(beside, 'alice')
    let tries = 0
    const done = withOwnerLock(db, 'alice', async (trx) => {
      tries += 1
      if (tries === 2) await unlock()
      await sql`update landfall.quota_usage set used_bytes = used_bytes + 1 where owner_id = 'alice'`.execute(
        trx,
      )
      return 'done'
    })
    expect(await done).toBe('done')
    expect(tries).toBe(2)
    const { used_bytes } = await db
      .selectFrom('landfall.quota_usage')
      .select('used_bytes')
      .where('owner_id', '=', asOwnerId('alice'))
      .executeTakeFirstOrThrow()
    expect(used_bytes).toBe(1)
  })
})
