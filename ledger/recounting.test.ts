import { sql } from 'kysely'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { freshDatabase } from '../test/support/landfall.ts'
import { created, leaseOf, newUpload, openLedger, SIZE, UNLIMITED } from '../test/support/ledger.ts'
import { createUpload } from './creation.ts'
import type { Ledger } from './database.ts'
import { finishUpload } from './finishing.ts'
import { newMediaId, type OwnerId } from './ids.ts'
import { deleteMedia, rejectMedia } from './media.ts'
import { mediaToPurge, purgeMedia } from './purging.ts'
import { inconsistentOwners, miscountedOwners, recountOwner } from './recounting.ts'
import { terminateUpload } from './uploads.ts'

const nothing = async () => {}
const alice = 'alice' as OwnerId
let db: Ledger

beforeEach(async () => {
  db = openLedger(await freshDatabase())
})
afterEach(() => db.destroy())

async function receive(owner: OwnerId = alice) {
  const id = created(await createUpload(db, newUpload(owner), UNLIMITED))
  const mediaId = newMediaId()
  const append = { id, ownerId: owner, fence: await leaseOf(db, owner, id), offset: 0, to: SIZE }
  await finishUpload(db, append, mediaId, nothing)
  return mediaId
}

/** Something of every kind that counts, or does no more. */
async function live(): Promise<void> {
  await createUpload(db, newUpload('alice'), UNLIMITED)
  await createUpload(db, newUpload('alice', { isPartial: true, concat: 'partial' }), UNLIMITED)
  await receive()
  await deleteMedia(db, alice, await receive(), nothing)
  await rejectMedia(db, await receive(), { code: 'bad', detail: 'bad' }, nothing)
  const rejected = await receive()
  await rejectMedia(db, rejected, { code: 'bad', detail: 'bad' }, nothing)
  await deleteMedia(db, alice, rejected, nothing)
  const purged = await receive()
  await deleteMedia(db, alice, purged, nothing)
  await purgeMedia(db, [purged], nothing)
  const id = created(await createUpload(db, newUpload('alice'), UNLIMITED))
  await terminateUpload(db, { id, ownerId: alice, fence: await leaseOf(db, 'alice', id) }, nothing)
}

it('finds nothing to correct in what the server counts', async () => {
  await live()
  expect(await miscountedOwners(db)).toEqual([])
  const { before, after } = await recountOwner(db, alice)
  expect(after).toEqual(before)
  expect(after).toEqual({
    reservedBytes: 2 * SIZE,
    usedBytes: 2 * SIZE,
    openUploads: 1,
    finishedUploads: 2,
    openPartials: 1,
  })
})

it('corrects counters that are too high or too low, and those without a row or without uploads', async () => {
  await live()
  await receive('bob' as OwnerId)
  await receive('carol' as OwnerId)
  await sql`update landfall.quota_usage set used_bytes = used_bytes + 5, open_uploads = 0 where owner_id = 'alice'`.execute(
    db,
  )
  await sql`delete from landfall.quota_usage where owner_id = 'bob'`.execute(db)
  await sql`insert into landfall.quota_usage (owner_id, used_bytes) values ('nobody', 7)`.execute(db)
  const owners = await miscountedOwners(db)
  expect(owners).toEqual(['alice', 'bob', 'nobody'])
  for (const owner of owners) await recountOwner(db, owner)
  expect(await miscountedOwners(db)).toEqual([])
})

it('waits for a transaction that is changing the counters, and keeps what it did', async () => {
  await receive()
  const creating = Array.from({ length: 20 }, () => createUpload(db, newUpload('alice'), UNLIMITED))
  const recounts = Array.from({ length: 5 }, () => recountOwner(db, alice))
  await Promise.all([...creating, ...recounts])
  expect(await miscountedOwners(db)).toEqual([])
})

it('is told of an owner whose counters would go below zero; everybody else is purged beside it', async () => {
  for (const owner of ['alice', 'bob'] as OwnerId[])
    await deleteMedia(db, owner, await receive(owner), nothing)
  await sql`update landfall.quota_usage set used_bytes = 0 where owner_id = 'alice'`.execute(db)
  const { ids } = await mediaToPurge(db, 0, 10, undefined)
  expect(await purgeMedia(db, ids, nothing)).toHaveLength(2)
  expect((await inconsistentOwners(db, 10)).ids).toEqual(['alice'])
  expect((await recountOwner(db, alice)).after).toMatchObject({ usedBytes: 0, finishedUploads: 0 })
  expect((await inconsistentOwners(db, 10)).ids).toEqual([])
})
