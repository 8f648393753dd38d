import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { describeStored } from '../storage/places.ts'
import { openStorage } from '../storage/storage.ts'
import { asMediaId } from '../test/support/ids.ts'
import { freshDatabase } from '../test/support/landfall.ts'
import { created, newUpload, openLedger, UNLIMITED } from '../test/support/ledger.ts'
import { createUpload } from './creation.ts'
import type { Ledger } from './database.ts'
import { countStored, isBackendInUse, markerOf, recordMarker } from './storage-places.ts'

let db: Ledger
let directory: string
beforeAll(async () => {
  db = openLedger(await freshDatabase())
  directory = await mkdtemp(join(tmpdir(), 'landfall-places-'))
})
afterAll(async () => {
  await db?.destroy()
  await rm(directory, { recursive: true, force: true })
})

it('a media item that the previous release inserts is stored where its upload is', async () => {
  for (const backend of ['s3', 'disk'] as const) {
    const id = created(await createUpload(db, newUpload('alice', { storageBackend: backend }), UNLIMITED))
    await sql`
      insert into landfall.media (id, upload_id, owner_id, size, status, storage_key)
      values (${id}, ${id}, 'alice', 1, 'processing', 'uploads/x')`.execute(db)
    const row = await db
      .selectFrom('landfall.media')
      .select('storage_backend')
      .where('id', '=', asMediaId(id))
      .executeTakeFirst()
    expect(row).toEqual({ storage_backend: backend })
    expect(await countStored(db, backend)).toEqual({ mediaItems: 1, openUploads: 1, removals: 0, copies: 0 })
  }
})

it('what has ended needs nothing, once its bytes are removed', async () => {
  await sql`update landfall.uploads set state = 'terminated' where storage_backend = 's3'`.execute(db)
  await sql`update landfall.media set purged_at = now() where storage_backend = 's3'`.execute(db)
  expect([await isBackendInUse(db, 's3'), await isBackendInUse(db, 'disk')]).toEqual([false, true])
})

it('copies that are still to be removed are needed until they are', async () => {
  await sql`
    insert into landfall.stray_copies (upload_id, backend, storage_keys, is_begun, due_at)
    values ('moved', 's3', '{uploads/moved}', false, now())`.execute(db)
  expect(await isBackendInUse(db, 's3')).toBe(true)
  const held = await countStored(db, 's3')
  expect(held).toEqual({ mediaItems: 0, openUploads: 0, removals: 0, copies: 1 })
  expect(describeStored(held)).toBe('1 moved file of which a former copy is to be removed')
  const bucketMissing = openStorage(
    {
      primary: 'disk',
      disk: { directory, sync: 'never' },
      keyPrefixes: { disk: 'uploads/', s3: 'uploads/' },
      s3: undefined,
    },
    db,
  )
  await expect(bucketMissing).rejects.toThrow('needs 1 moved file')
  await sql`delete from landfall.stray_copies`.execute(db)
  expect(await isBackendInUse(db, 's3')).toBe(false)
})

it('of two who record a marker one is told that the other was quicker', async () => {
  const attempts = ['a', 'b'].map((key) => recordMarker(db, 's3', { former: undefined, key }))
  expect((await Promise.all(attempts)).toSorted()).toEqual([false, true])
  const former = await markerOf(db, 's3')
  expect(await recordMarker(db, 's3', { former, key: 'c' })).toBe(true)
  expect(await recordMarker(db, 's3', { former, key: 'd' })).toBe(false)
  expect(await markerOf(db, 's3')).toBe('c')
})
