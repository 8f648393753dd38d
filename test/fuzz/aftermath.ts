import { readdir } from 'node:fs/promises'
import { sql } from 'kysely'
import { expect } from 'vitest'
import { openQueues } from '../../jobs/queues.ts'
import { reap } from '../../jobs/upkeep/reaper.ts'
import { type Landfall, startLandfall } from '../support/landfall.ts'
import { QUIET } from '../support/quiet.ts'
import { countedUsage, impliedUsage } from '../support/quota.ts'
import { rawRequest } from '../support/raw-http.ts'
import { asMp4 } from '../support/sample-bytes.ts'
import { NOTHING_USED, quotaOf, statusOf } from '../support/status.ts'
import { leftBehind } from '../support/stored.ts'
import { createId, patch } from '../support/tus.ts'
import { OWNERS } from './places.ts'

/** Both pools of connections to the ledger fill up as needed; a leak of one request in a hundred is more. */
const SPARE_HANDLES = 16
const WAIT = { timeout: 30_000, interval: 200 }

export type Handles = { sockets: number; files: number }

/** What this process, clients and server in one, holds open. */
export async function openHandles(): Promise<Handles> {
  const sockets = process.getActiveResourcesInfo().filter((type) => type === 'TCPSocketWrap').length
  // Elsewhere than on Linux files are not counted.
  const files = await readdir('/proc/self/fd').catch(() => [])
  return { sockets, files: files.length }
}

/** Nothing of what was asked is still under way, and nothing was counted wrongly. */
export async function expectBooksInOrder(landfall: Landfall, before: Handles): Promise<void> {
  const { db } = landfall
  const leases = () => db.selectFrom('landfall.upload_locks').select('upload_id').execute()
  await expect.poll(leases, WAIT).toEqual([])
  expect(await countedUsage(db, OWNERS)).toEqual(await impliedUsage(db, OWNERS))
  const { rows } = await sql`
    select id, "offset", size, state from landfall.uploads
     where "offset" < 0 or "offset" > size or (state = 'received' and "offset" <> size)`.execute(db)
  expect(rows).toEqual([])
  await expect
    .poll(async () => (await openHandles()).sockets, WAIT)
    .toBeLessThanOrEqual(before.sockets + SPARE_HANDLES)
  await expect
    .poll(async () => (await openHandles()).files, WAIT)
    .toBeLessThanOrEqual(before.files + SPARE_HANDLES)
}

/** The server still takes a file and serves what is asked of it. */
export async function expectAlive(landfall: Landfall): Promise<void> {
  const body = asMp4(Buffer.alloc(9000))
  const id = await createId(landfall, 'survivor', { size: body.length })
  expect((await patch(landfall, 'survivor', id, { offset: 0, body })).status).toBe(204)
  expect(await statusOf(landfall, 'survivor', id)).toMatchObject({ state: 'received', offset: body.length })
  expect((await landfall.stored.bytes(`uploads/${id}`)).equals(body)).toBe(true)
  await remove(landfall, 'survivor', { id, protocol: 'tus-1.0' })
}

/** Ends everything that can be ended; then nothing is stored and nothing counts. Gives how many uploads there were. */
export async function expectNothingLeft(landfall: Landfall): Promise<number> {
  const { db } = landfall
  const rows = () =>
    db
      .selectFrom('landfall.uploads')
      .select(['id', 'owner_id', 'protocol', 'is_partial'])
      .where('state', 'in', ['open', 'received'])
      // Finals first: they hold their partials.
      .orderBy('is_partial')
      .execute()
  const all = await rows()
  for (let at = 0; at < all.length; at += 10) {
    const some = all.slice(at, at + 10)
    await Promise.all(some.map((upload) => remove(landfall, upload.owner_id, upload)))
  }
  expect(await rows()).toEqual([])
  // Media that were deleted count until they are given up.
  expect(await countedUsage(db, OWNERS)).toEqual(await impliedUsage(db, OWNERS))
  await expectRemoved(landfall)
  for (const owner of OWNERS) expect(await quotaOf(landfall, owner)).toEqual(NOTHING_USED)
  const usage = await countedUsage(db, OWNERS)
  expect(usage.map(({ open_partials }) => open_partials)).toEqual([0, 0])
  return all.length
}

async function remove(
  landfall: Landfall,
  owner: string,
  upload: { id: string; protocol: string },
): Promise<void> {
  const { id, protocol } = upload
  const tus = protocol.startsWith('ietf') ? undefined : { 'Tus-Resumable': '1.0.0' }
  const headers = { Authorization: `Bearer ${landfall.token(owner)}`, ...tus }
  const { status, body } = await rawRequest(landfall, { method: 'DELETE', path: `/files/${id}`, headers })
  expect([status, body], `the end of ${id}, ${protocol}`).toEqual([204, ''])
}

/** Media that are deleted are given up at once, and a worker does what waits to be done. */
async function expectRemoved(landfall: Landfall): Promise<void> {
  const { db } = landfall
  const boss = await openQueues({ db, supervise: false, onError: () => {} })
  try {
    await reap({ db, boss, retentionMs: 0, notifyListeners: () => {}, log: QUIET })
  } finally {
    await boss.stop({ close: false, graceful: false })
  }
  const beside = await startLandfall({
    beside: landfall,
    env: { SCAN: 'off', WORKER_CONCURRENCY: '4' },
  })
  try {
    // How long that takes depends on how many there were; the test has a time of its own.
    await expect.poll(() => leftBehind(landfall), { timeout: 3_600_000, interval: 500 }).toEqual([])
  } finally {
    await beside.close()
  }
}
