import { afterEach, beforeEach, expect, it } from 'vitest'
import { freshDatabase } from '../test/support/landfall.ts'
import { created, leaseOf, newUpload, openLedger, SIZE, UNLIMITED } from '../test/support/ledger.ts'
import { createUpload } from './creation.ts'
import type { Ledger } from './database.ts'
import { settleDuplicate } from './duplicates.ts'
import { finishUpload } from './finishing.ts'
import { newMediaId, type OwnerId } from './ids.ts'
import { deleteMedia, failMedia, mediaForJob, publishMedia, rejectMedia } from './media.ts'

const nothing = async () => {}
const alice = 'alice' as OwnerId
const HASH = 'a'.repeat(64)
const BAD = { code: 'bad', detail: 'It is bad.' }
let db: Ledger

beforeEach(async () => {
  db = openLedger(await freshDatabase())
})
afterEach(() => db.destroy())

async function receive(owner = alice, size = SIZE) {
  const uploadId = created(await createUpload(db, newUpload(owner, { size, reservedBytes: size }), UNLIMITED))
  const id = newMediaId()
  const append = {
    id: uploadId,
    ownerId: owner,
    fence: await leaseOf(db, owner, uploadId),
    offset: 0,
    to: size,
  }
  await finishUpload(db, append, id, nothing)
  return id
}
const settle = (id: Awaited<ReturnType<typeof receive>>) => settleDuplicate(db, id, HASH)

it('names the oldest ready media item with the same bytes, and keeps naming it', async () => {
  const [first, second, third] = [await receive(), await receive(), await receive()]
  expect(await settle(first)).toBeUndefined()
  await publishMedia(db, first)
  expect(await settle(second)).toBe(first)
  await publishMedia(db, second)
  expect(await settle(third)).toBe(first)
  await deleteMedia(db, alice, first, nothing)
  expect((await mediaForJob(db, third))?.duplicate_of).toBe(first)
  expect(await settle(third)).toBe(second)
})

it('compares with no other owner’s, none of another size, and none that has ended', async () => {
  const [foreign, larger, rejected, failed, deleted] = [
    await receive('bob' as OwnerId),
    await receive(alice, SIZE + 1),
    await receive(),
    await receive(),
    await receive(),
  ]
  await settle(foreign)
  await publishMedia(db, foreign)
  await settle(larger)
  await publishMedia(db, larger)
  for (const [id, end] of [
    [rejected, () => rejectMedia(db, rejected, BAD, nothing)],
    [failed, () => failMedia(db, failed, BAD, nothing)],
    [deleted, () => deleteMedia(db, alice, deleted, nothing)],
  ] as const) {
    expect(await settle(id)).toBeUndefined()
    await end()
  }
  expect(await settle(await receive())).toBeUndefined()
})

it('finds exactly one of equal files the first that are hashed at the same moment, and again after a crash', async () => {
  for (let round = 0; round < 10; round++) {
    const ids = await Promise.all([receive(), receive(), receive(), receive()])
    const found = await Promise.all(ids.map((id) => settleDuplicate(db, id, `${round}`)))
    const first = ids.filter((_, index) => found[index] === undefined)
    expect(first).toHaveLength(1)
    expect(found.filter((id) => id !== undefined)).toEqual([first[0], first[0], first[0]])
    const again = await Promise.all(ids.map((id) => settleDuplicate(db, id, `${round}`)))
    expect(again).toEqual(found)
  }
})
