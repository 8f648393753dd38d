import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { asOwnerId } from '../test/support/ids.ts'
import { freshDatabase } from '../test/support/landfall.ts'
import { created, leaseOf, newUpload, openLedger, SIZE, UNLIMITED } from '../test/support/ledger.ts'
import { createFinal } from './concatenation.ts'
import { createUpload } from './creation.ts'
import type { Ledger } from './database.ts'
import { readDiskClaims } from './disk-claims.ts'
import type { UploadId } from './ids.ts'
import type { Backend } from './storage-places.ts'
import { forgetStray, holdCopy } from './stray-copies.ts'

const ROOM = { isAllowed: () => true, claimDisk: () => true }

describe('what the disk still has to take', () => {
  let db: Ledger
  beforeEach(async () => {
    db = openLedger(await freshDatabase())
  })
  afterEach(async () => {
    await db?.destroy()
  })

  const partialIn = async (storageBackend: Backend, size: number | null = SIZE) =>
    created(
      await createUpload(
        db,
        newUpload('alice', { isPartial: true, concat: 'partial', storageBackend, size }),
        UNLIMITED,
      ),
    )
  const complete = async (id: UploadId) =>
    await sql`update landfall.uploads set "offset" = size, is_finished = true where id = ${id}`.execute(db)
  /** A final upload where new uploads go to `primary`. `claimed`: what it asked of the disk. */
  const finalOver = async (primary: Backend, partials: readonly UploadId[], claim = true) => {
    const claimed: number[] = []
    const claimDisk = (bytes: number) => {
      claimed.push(bytes)
      return claim
    }
    const {
      size: _,
      reservedBytes: __,
      isPartial: ___,
      ...upload
    } = newUpload('alice', { storageBackend: primary })
    const final = { ...upload, concat: 'final;', partials, storageKeyIn: () => upload.storageKey }
    const result = await createFinal(db, final, { ...ROOM, claimDisk }, UNLIMITED, async () => {})
    return { id: upload.id, kind: result.kind, claimed }
  }

  it('is what open uploads on it have not sent, of which some may be there by the requests that send it', async () => {
    const id = created(await createUpload(db, newUpload('alice'), UNLIMITED))
    await createUpload(db, newUpload('bob', { size: null }), UNLIMITED)
    await createUpload(db, newUpload('carol', { storageBackend: 's3' }), UNLIMITED)
    await sql`update landfall.uploads set "offset" = 400 where id = ${id}`.execute(db)
    expect(await readDiskClaims(db)).toEqual({ bytes: 600, running: [] })
    await leaseOf(db, 'alice', id)
    const running = [{ key: `uploads/${id}`, from: 400, to: SIZE }]
    expect(await readDiskClaims(db)).toEqual({ bytes: 600, running })
  })

  it.each<[string, Backend, Backend[], number]>([
    ['the disk, of partials there', 'disk', ['disk', 'disk'], 2 * SIZE],
    ['the disk, of partials there, though new uploads go to a bucket', 's3', ['disk', 'disk'], 2 * SIZE],
    ['the disk, of partials of which one has to be brought there', 'disk', ['disk', 's3'], 3 * SIZE],
    ['a bucket, of partials of which one has to be brought there', 's3', ['disk', 's3'], 0],
    ['a bucket, of partials there', 'disk', ['s3', 's3'], 0],
  ])('is a final upload on %s', async (_where, primary, backends, bytes) => {
    const partials: UploadId[] = []
    for (const backend of backends) partials.push(await partialIn(backend))
    for (const id of partials) await complete(id)
    const { kind, claimed } = await finalOver(primary, partials)
    expect([kind, claimed]).toEqual(['created', bytes > 0 ? [bytes] : []])
    expect((await readDiskClaims(db)).bytes).toBe(bytes)
  })

  it('counts a partial that is in the bucket once for all that are made of it, and not when it is here', async () => {
    const [here, elsewhere] = [await partialIn('disk'), await partialIn('s3')]
    for (const id of [here, elsewhere]) await complete(id)
    for (let index = 0; index < 2; index++) await finalOver('disk', [here, elsewhere])
    expect((await readDiskClaims(db)).bytes).toBe(2 * (2 * SIZE) + SIZE)
    const copy = { uploadId: elsewhere, backend: 'disk' as const, fence: crypto.randomUUID() }
    await holdCopy(db, copy, { keys: [], bytes: SIZE })
    expect((await readDiskClaims(db)).bytes).toBe(2 * (2 * SIZE) + SIZE)
    await forgetStray(db, copy)
    await sql`update landfall.uploads set storage_backend = 'disk' where id = ${elsewhere}`.execute(db)
    expect((await readDiskClaims(db)).bytes).toBe(2 * (2 * SIZE))
  })

  it('is asked for a final once the quota has room, and nothing is held without it', async () => {
    const partials = [await partialIn('disk'), await partialIn('disk')]
    const usage = async () => await db.selectFrom('landfall.quota_usage').selectAll().execute()
    const before = await usage()
    expect(await finalOver('disk', partials, false)).toMatchObject({ kind: 'no-room', claimed: [2 * SIZE] })
    expect(await usage()).toEqual(before)
    await db
      .insertInto('landfall.quotas')
      .values({ owner_id: asOwnerId('alice'), bytes_limit: null, uploads_limit: 0 })
      .execute()
    expect(await finalOver('disk', partials)).toMatchObject({ kind: 'quota-uploads', claimed: [] })
  })

  it('is no final of which no file will be made, until that is asked for again', async () => {
    const partials = [await partialIn('disk'), await partialIn('s3')]
    for (const id of partials) await complete(id)
    const { id } = await finalOver('disk', partials)
    const become = async (status: string) => {
      await sql`update landfall.media set status = ${status} where upload_id = ${id}`.execute(db)
      return (await readDiskClaims(db)).bytes
    }
    expect(await become('failed')).toBe(0)
    expect(await become('processing')).toBe(3 * SIZE)
    expect(await become('deleted')).toBe(0)
  })

  it('may be there in part where a concatenation is being written', async () => {
    const partials = [await partialIn('disk'), await partialIn('disk')]
    for (const id of partials) await complete(id)
    const { id } = await finalOver('disk', partials)
    expect((await readDiskClaims(db)).running).toEqual([])
    await sql`
      insert into landfall.processing_steps (media_id, step, attempt, status)
      select id, 'assemble', 1, 'running' from landfall.media where upload_id = ${id}`.execute(db)
    const running = [{ key: `uploads/${id}`, from: 0, to: 2 * SIZE }]
    expect(await readDiskClaims(db)).toEqual({ bytes: 2 * SIZE, running })
  })
})
