import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { freshDatabase } from '../test/support/landfall.ts'
import { created, leaseOf, newUpload, openLedger, UNLIMITED } from '../test/support/ledger.ts'
import { createUpload } from './creation.ts'
import type { Ledger } from './database.ts'
import type { OwnerId, UploadId } from './ids.ts'
import { renewLeases, takeLease } from './leases.ts'
import { appendBytes } from './uploads.ts'

const EXPIRY = { afterMs: 86_400_000, maxAgeMs: 7 * 86_400_000 }
let db: Ledger

beforeEach(async () => {
  db = openLedger(await freshDatabase(), 1)
})
afterEach(() => db.destroy())

describe('appends', () => {
  // An update may not find room in its page: the database's own analysis, which may run at that moment, keeps former
  // versions there. It does not run each time.
  it('change no index: they are heap-only updates', { retry: 2 }, async () => {
    await createUpload(db, newUpload('alice'), UNLIMITED)
    const id = created(await createUpload(db, newUpload('alice'), UNLIMITED))
    const fence = await leaseOf(db, 'alice', id)
    const before = await updatesOf('uploads')
    for (let offset = 0; offset < 39; offset++) {
      const append = { id, ownerId: 'alice' as OwnerId, fence, offset, to: offset + 1 }
      expect(await appendBytes(db, append, EXPIRY)).toMatchObject({ kind: 'committed' })
    }
    const after = await updatesOf('uploads')
    expect(after.all - before.all).toBe(39)
    expect(after.hot - before.hot).toBe(39)
  })
})

describe('the renewal of leases', () => {
  it('finds them by their uploads, and does not scan', async () => {
    const ids: UploadId[] = []
    for (let i = 0; i < 3; i++) ids.push(created(await createUpload(db, newUpload('alice'), UNLIMITED)))
    const held = await Promise.all(
      ids.map(async (uploadId) => ({ uploadId, fence: await leaseOf(db, 'alice', uploadId) })),
    )
    // Leases of other nodes: enough of them for a scan to cost more.
    await sql`
      insert into landfall.upload_locks (upload_id, holder, fence, expires_at)
      select 'other-' || i, 'other', gen_random_uuid(), now() + interval '1 minute' from generate_series(1, 5000) i
    `.execute(db)
    await sql`analyze landfall.upload_locks`.execute(db)
    const before = await updatesOf('upload_locks')
    const { renewed } = await renewLeases(db, held, 60_000)
    expect([...renewed.keys()].toSorted()).toEqual(held.map(({ fence }) => fence).toSorted())
    expect((await updatesOf('upload_locks')).scans).toBe(before.scans)
  })

  it('leaves alone what somebody else has taken over', async () => {
    const uploadId = created(await createUpload(db, newUpload('alice'), UNLIMITED))
    const fence = await leaseOf(db, 'alice', uploadId)
    await sql`update landfall.upload_locks set expires_at = now() - interval '1 second'`.execute(db)
    const lease = { uploadId, ownerId: 'alice' as OwnerId, holder: 'other', ttlMs: 60_000 }
    const other = crypto.randomUUID()
    expect((await takeLease(db, { ...lease, fence: other })).kind).toBe('taken')
    expect(await renewLeases(db, [{ uploadId, fence }], 60_000)).toEqual({
      renewed: new Map(),
      skipped: new Set(),
    })
    expect((await renewLeases(db, [{ uploadId, fence: other }], 60_000)).renewed.size).toBe(1)
  })
})

/** What the database has counted for a table: updates, heap-only ones among them, and sequential scans. */
async function updatesOf(table: string): Promise<{ all: number; hot: number; scans: number }> {
  // A connection tells what it has counted when it is told to, or after a while. There is but one.
  await sql`select pg_stat_force_next_flush()`.execute(db)
  const { rows } = await sql<{ all: number; hot: number; scans: number }>`
    select n_tup_upd as "all", n_tup_hot_upd as hot, seq_scan as scans
      from pg_stat_user_tables where schemaname = 'landfall' and relname = ${table}`.execute(db)
  if (!rows[0]) throw new Error(`nothing is counted of ${table}`)
  return rows[0]
}
