import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { freshDatabase } from '../test/support/landfall.ts'
import { created, newUpload, openLedger, UNLIMITED } from '../test/support/ledger.ts'
import { createUpload } from './creation.ts'
import type { Ledger } from './database.ts'
import { countHeld, isHolding, markerOf, recordMarker } from './storage-places.ts'

let db: Ledger
beforeAll(async () => {
  db = openLedger(await freshDatabase())
})
afterAll(() => db?.destroy())

it('a media item that the previous release inserts is stored where its upload is', async () => {
  for (const backend of ['s3', 'disk'] as const) {
    const id = created(await createUpload(db, newUpload('alice', { storageBackend: backend }), UNLIMITED))
    await sql`
      insert into landfall.media (id, upload_id, owner_id, size, status, storage_key)
      values (${id}, ${id}, 'alice', 1, 'processing', 'uploads/x')`.execute(db)
    const row = await db.selectFrom('media').select('storage_backend').where('id', '=', id).executeTakeFirst()
    expect(row).toEqual({ storage_backend: backend })
    expect(await countHeld(db, backend)).toEqual({ mediaItems: 1, openUploads: 1, removals: 0 })
  }
})

it('what has ended needs nothing, once its bytes are removed', async () => {
  await sql`update landfall.uploads set state = 'terminated' where storage_backend = 's3'`.execute(db)
  await sql`update landfall.media set purged_at = now() where storage_backend = 's3'`.execute(db)
  expect([await isHolding(db, 's3'), await isHolding(db, 'disk')]).toEqual([false, true])
})

it('of two who record a marker one is told that the other was quicker', async () => {
  const attempts = ['a', 'b'].map((key) => recordMarker(db, 's3', { former: undefined, key }))
  expect((await Promise.all(attempts)).toSorted()).toEqual([false, true])
  const former = await markerOf(db, 's3')
  expect(await recordMarker(db, 's3', { former, key: 'c' })).toBe(true)
  expect(await recordMarker(db, 's3', { former, key: 'd' })).toBe(false)
  expect(await markerOf(db, 's3')).toBe('c')
})
