import { sql } from 'kysely'
import { beforeEach, expect, it, onTestFinished } from 'vitest'
import { withBackupLock } from '../../ledger/backup-lock.ts'
import { createUpload } from '../../ledger/creation.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { UploadId } from '../../ledger/ids.ts'
import type { Backend } from '../../ledger/storage-places.ts'
import {
  expediteStrays,
  type HeldCopy,
  holdCopy,
  holdForRemoval,
  narrowHold,
  recordFormerCopy,
  releaseCopyHold,
} from '../../ledger/stray-copies.ts'
import { freshDatabase } from '../../test/support/landfall.ts'
import { created, newUpload, openLedger, UNLIMITED } from '../../test/support/ledger.ts'
import { DiskObjects } from '../disk/disk-objects.ts'
import { type Objects, StorageUnavailable } from '../store/objects.ts'
import { type StrayFailure, StrayRemover } from './remove-strays.ts'

let db: Ledger
let failures: StrayFailure[]
const onFailure = (failure: StrayFailure) => void failures.push(failure)
const { signal } = new AbortController()

beforeEach(async () => {
  db = openLedger(await freshDatabase())
  failures = []
  onTestFinished(() => db.destroy())
})

/** So many copies, of the keys `a` and `b`, that are to be removed from each backend. */
const insert = (count: number, backends: Backend[] = ['disk'], isBegun = true) =>
  sql`
    insert into landfall.stray_copies (upload_id, backend, storage_keys, is_begun, due_at)
    select 'u' || i, b, '{a,b}', ${isBegun}, now() - interval '1 minute'
      from generate_series(1, ${count}) i, unnest(${backends}::text[]) b`.execute(db)

type Row = { backend: Backend; isHeld: boolean; isDue: boolean; isDueWithHold: boolean }
const rows = async () =>
  (
    await sql<Row>`
      select backend, coalesce(fenced_until > now(), false) as "isHeld", due_at <= now() as "isDue",
             due_at = fenced_until as "isDueWithHold"
        from landfall.stray_copies`.execute(db)
  ).rows

/** A storage of which some calls are made otherwise. */
function storageWith(changes: Partial<Objects>) {
  const objects: Objects = Object.assign(new DiskObjects('/nowhere'), {
    checkWritable: async () => {},
    removeCopy: async () => {},
    ...changes,
  })
  return { objectsOf: async () => objects }
}
const remover = (storage: { objectsOf(row: { storage_backend: string }): Promise<Objects> }) =>
  new StrayRemover({ db, storage, onFailure })

it('leaves a backend alone that is away, tells of it once, and goes on with the other', async () => {
  await insert(25, ['disk', 's3'])
  const { objectsOf } = storageWith({})
  let asked = 0
  const strays = remover({
    async objectsOf(row) {
      if (row.storage_backend === 'disk') return await objectsOf()
      asked += 1
      throw new StorageUnavailable()
    },
  })
  expect(await strays.removeDue(signal)).toBe(25)
  expect(failures).toEqual([{ backend: 's3', uploads: 1, error: expect.any(StorageUnavailable) }])
  // Nothing was sent, so nobody has to wait.
  const left = await rows()
  expect(left).toHaveLength(25)
  expect(left.every(({ backend, isHeld, isDue }) => backend === 's3' && !isHeld && isDue)).toBe(true)
  await strays.removeDue(signal)
  expect(asked).toBe(1)
})

it('keeps movers from copying to what it could not remove, for as long as its calls may arrive', async () => {
  await insert(2)
  const removeCopy = () => Promise.reject(new Error('a reset connection'))
  expect(await remover(storageWith({ removeCopy })).removeDue(signal)).toBe(0)
  expect(failures).toMatchObject([{ backend: 'disk', uploads: 2 }])
  for (const row of await rows())
    expect(row).toMatchObject({ isHeld: true, isDue: false, isDueWithHold: true })
  const copy = { uploadId: 'u1' as UploadId, backend: 'disk' as const, fence: crypto.randomUUID() }
  expect(await holdCopy(db, copy, { keys: ['a'], bytes: 1 })).toBeUndefined()
})

it('holds a few at a time, and makes no call more for one that is held by somebody else', async () => {
  await insert(20)
  const removed: string[] = []
  let held: number | undefined
  const removeCopy = async (key: string) => {
    removed.push(key)
    held ??= (await rows()).filter(({ isHeld }) => isHeld).length
    await sql`update landfall.stray_copies set fence = gen_random_uuid() where fence is not null`.execute(db)
  }
  expect(await remover(storageWith({ removeCopy })).removeDue(signal)).toBe(0)
  expect(held).toBe(4)
  expect(removed.filter((key) => key === 'b')).toEqual([])
  expect(await rows()).toHaveLength(20)
})

it('ends when it is told to, with what it is at, and one pass at a time', async () => {
  await insert(20)
  const stop = new AbortController()
  let calls = 0
  const removeCopy = async () => {
    calls += 1
    stop.abort()
  }
  const strays = remover(storageWith({ removeCopy }))
  const [first, second] = await Promise.all([strays.removeDue(stop.signal), strays.removeDue(stop.signal)])
  expect(second).toBe(first)
  expect(calls).toBeLessThanOrEqual(4)
  const left = await rows()
  expect(left).toHaveLength(20)
  expect(left.filter(({ isHeld }) => isHeld)).toEqual([])
})

it('forgets what a mover wrote down that was too late, and never what is served', async () => {
  await insert(1)
  const served = created(await createUpload(db, newUpload('alice'), UNLIMITED))
  await sql`update landfall.stray_copies set upload_id = ${served}`.execute(db)
  const removeCopy = () => Promise.reject(new Error('it is served'))
  const strays = remover(storageWith({ removeCopy }))
  await strays.removeDue(signal)
  expect(await rows()).toHaveLength(1)
  await sql`
    update landfall.stray_copies
       set bytes_to_come = 1, fence = gen_random_uuid(), fenced_until = now()`.execute(db)
  await strays.removeDue(signal)
  expect(await rows()).toEqual([])
  expect(failures).toEqual([])
})

it('keeps copies on disk while a backup is made, and none that an owner has deleted', async () => {
  await insert(2, ['disk', 's3'])
  const strays = remover(storageWith({}))
  await withBackupLock(db, async () => {
    expect(await strays.removeDue(signal)).toBe(2)
    expect((await rows()).map(({ backend }) => backend)).toEqual(['disk', 'disk'])
    await strays.removeOf('u1' as UploadId, undefined, signal)
    expect(await rows()).toHaveLength(1)
  })
  expect(await strays.removeDue(signal)).toBe(1)
})

it('has what an ended upload leaves in a backend that is away removed as soon as nobody holds it', async () => {
  await insert(1)
  await sql`update landfall.stray_copies set due_at = now() + interval '1 hour'`.execute(db)
  const upload = 'u1' as UploadId
  const copy = { uploadId: upload, backend: 's3' as const, fence: crypto.randomUUID() }
  await holdCopy(db, copy, { keys: ['a'], bytes: 1 })
  expect(await expediteStrays(db, upload)).toBe('copying')
  expect(await rows()).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ backend: 'disk', isHeld: false, isDue: true }),
      expect.objectContaining({ backend: 's3', isHeld: true, isDueWithHold: true }),
    ]),
  )
  await releaseCopyHold(db, copy, 'useless')
  expect(await expediteStrays(db, upload)).toBe('left')
  const strays = remover(storageWith({}))
  await strays.removeOf(upload, undefined, signal)
  expect(await expediteStrays(db, upload)).toBe('none')
})

it('removes the copies under one key, and leaves the others to their time', async () => {
  await insert(1)
  const removed: string[] = []
  const strays = remover(storageWith({ removeCopy: async (key) => void removed.push(key) }))
  await strays.removeOf('u1' as UploadId, 'b', signal)
  expect(removed).toEqual(['b'])
  const left = await db.selectFrom('landfall.stray_copies').select(['storage_keys', 'fence']).execute()
  expect(left).toEqual([{ storage_keys: ['a'], fence: null }])
})

it.each([
  ['can be taken', false],
  ['can be taken by nobody while its calls that remove may still arrive', true],
])('the hold of a mover that was overtaken %s', async (_what, isRemoving) => {
  const first: HeldCopy = { uploadId: 'u1' as UploadId, backend: 'disk', fence: crypto.randomUUID() }
  await holdCopy(db, first, { keys: ['a'], bytes: 1 })
  if (isRemoving) expect(await holdForRemoval(db, first)).toBe(true)
  await db.transaction().execute((trx) => recordFormerCopy(trx, first, ['b']))
  expect(await narrowHold(db, first, ['a'])).toBe(false)
  const second = { ...first, fence: crypto.randomUUID() }
  expect((await holdCopy(db, second, { keys: ['a'], bytes: 1 })) === undefined).toBe(isRemoving)
})
