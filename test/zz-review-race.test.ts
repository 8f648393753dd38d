import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createUpload } from '../ledger/creation.ts'
import { createFinal, finishPartial } from '../ledger/concatenation.ts'
import type { Ledger } from '../ledger/database.ts'
import { expireUploads } from '../ledger/reaping.ts'
import { terminateUpload } from '../ledger/uploads.ts'
import { freshDatabase } from './support/landfall.ts'
import { created, leaseOf, newUpload, openLedger, UNLIMITED } from './support/ledger.ts'
import { countedUsage, impliedUsage } from './support/quota.ts'

let db: Ledger
let other: Ledger
beforeAll(async () => {
  const url = await freshDatabase()
  db = openLedger(url)
  other = openLedger(url)
})
afterAll(async () => { await db.destroy(); await other.destroy() })
const partial = async (owner: string, changes = {}) =>
  created(await createUpload(db, newUpload(owner, { isPartial: true, concat: 'partial', ...changes }), UNLIMITED))
const final = (owner: string, partials: any[]) => {
  const { size, reservedBytes, isPartial, ...rest } = newUpload(owner, { concat: 'final' })
  return createFinal(db, { ...rest, partials }, () => true, UNLIMITED, async () => {})
}
const sleep = (ms: number) => new Promise((r) => setTimeout(r, ms))

for (const kind of ['terminate', 'expire'] as const)
it(`partial is ended (${kind}) while the last one finishes`, async () => {
  const owner = `o-${kind}`
  await createUpload(db, newUpload(owner), UNLIMITED) // other open upload: 1000 reserved
  await partial(owner)
  const [p1, p2] = [await partial(owner), await partial(owner)]
  // p1 complete
  const f1 = await leaseOf(db, owner, p1)
  await finishPartial(db, { id: p1, fence: f1, from: 0, to: 1000 }, owner as never, async () => {})
  const f = created(await final(owner, [p1, p2]))
  const f2 = await leaseOf(db, owner, p2)
  let finishing: Promise<any> | undefined
  const enq = async () => {
    if (finishing) return
    finishing = finishPartial(db, { id: p2, fence: f2, from: 0, to: 1000 }, owner as never, async () => {}).then((v) => ({ v }), (e) => ({ error: e.message }))
    await sleep(400)
  }
  if (kind === 'terminate') {
    const t = await leaseOf(db, owner, p1)
    await terminateUpload(other, { id: p1, fence: t }, enq)
  } else {
    await sql`update landfall.uploads set expires_at = now() - interval '1 second' where id = ${p1}`.execute(db)
    console.log('expired', await expireUploads(other, 100, enq))
  }
  console.log(kind, 'finish', JSON.stringify(await finishing))
  const rows = await sql`select id, state, is_partial, reserved_bytes from landfall.uploads where owner_id=${owner}`.execute(db)
  console.log(rows.rows, { p1, p2, f })
  console.log('counted', await countedUsage(db, [owner]), 'implied', await impliedUsage(db, [owner]))
})

it('deadlock: finishing has the usage row, termination the partial', async () => {
  const owner = 'o-dead'
  const [p1, p2] = [await partial(owner), await partial(owner)]
  const f1 = await leaseOf(db, owner, p1)
  await finishPartial(db, { id: p1, fence: f1, from: 0, to: 1000 }, owner as never, async () => {})
  created(await final(owner, [p1, p2]))
  const f2 = await leaseOf(db, owner, p2)
  // termination stopped between its two rows, as its one statement may be: it has p1, and wants the usage row next
  const gate = Promise.withResolvers<void>()
  const has = Promise.withResolvers<void>()
  const t = other.transaction().execute(async (trx) => {
    await sql`update landfall.uploads set state='terminated' where id=${p1}`.execute(trx)
    has.resolve()
    await gate.promise
    await sql`update landfall.quota_usage set open_partials = open_partials - 1, reserved_bytes = reserved_bytes - 1000 where owner_id=${owner}`.execute(trx)
  }).then(() => 'ok', (e) => e.message)
  await has.promise
  const finishing = finishPartial(db, { id: p2, fence: f2, from: 0, to: 1000 }, owner as never, async () => {}).then((v) => v, (e) => e.message)
  await sleep(300)
  gate.resolve()
  console.log('terminate', await t, 'finish', await finishing)
  console.log('counted', await countedUsage(db, [owner]), 'implied', await impliedUsage(db, [owner]))
})
