import { sql } from 'kysely'
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest'
import { createUpload } from '../ledger/creation.ts'
import type { Ledger } from '../ledger/database.ts'
import { freshDatabase } from '../test/support/landfall.ts'
import { newUpload, openLedger, UNLIMITED } from '../test/support/ledger.ts'
import { DiskObjects } from './disk/disk-objects.ts'
import { OpenPlace } from './open-place.ts'
import { StorageChanged } from './places.ts'
import { StorageUnavailable } from './store/objects.ts'

let db: Ledger
let answers: (number | undefined)[]
let told: unknown[]
let place: OpenPlace

/** A place that the ledger needs something of, whose marker has these sizes, one look after the other, and then is there. */
beforeEach(async () => {
  db = openLedger(await freshDatabase())
  onTestFinished(() => db.destroy())
  await createUpload(db, newUpload('alice'), UNLIMITED)
  await sql`insert into landfall.storage_places (backend, marker_key) values ('disk', 'marker')`.execute(db)
  answers = []
  told = []
  const objects = Object.assign(new DiskObjects('/nowhere'), {
    sizeOf: async () => (answers.length > 0 ? answers.shift() : 1),
  })
  const name = { setting: 'DATA_DIR', value: '/nowhere', shown: '/nowhere/objects' } as const
  place = new OpenPlace(
    db,
    { backend: 'disk', objects, name, markerPrefix: '' },
    { onError: (error) => void told.push(error), prepare: async () => {} },
  )
})

it('is not another place because one look did not find its marker', async () => {
  answers = [undefined]
  await place.verify()
  expect(place.isVerified).toBe(true)
})

it('is another one when two looks say so, and is looked at again half a minute later', async () => {
  answers = [undefined, undefined]
  await expect(place.verify()).rejects.toThrow(StorageChanged)
  // Remembered: it is not asked for each request.
  await expect(place.checkUsable()).rejects.toThrow(StorageUnavailable)
  await expect(place.checkUsable()).rejects.toThrow(StorageUnavailable)
  expect(told).toEqual([expect.any(StorageChanged)])
  const now = performance.now.bind(performance)
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + 30_000)
  onTestFinished(() => clock.mockRestore())
  await place.checkUsable()
  expect(place.isVerified).toBe(true)
})
