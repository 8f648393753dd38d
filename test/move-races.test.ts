import { readFile } from 'node:fs/promises'
import { sql } from 'kysely'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { MEDIA_QUEUES, openQueues, QUEUES, removalEnqueuer } from '../jobs/queues.ts'
import { Bus } from '../ledger/bus.ts'
import { readDiskClaims } from '../ledger/disk-claims.ts'
import { parseMediaId, parseUploadId } from '../ledger/ids.ts'
import { recordRendition, StorageBackendChanged } from '../ledger/media.ts'
import { purgeMedia } from '../ledger/purging.ts'
import type { Backend } from '../ledger/storage-places.ts'
import { endCopying } from '../ledger/stray-copies.ts'
import { FileSystem } from '../storage/disk/file-system.ts'
import { type MoveResult, moveUpload } from '../storage/moving/move-upload.ts'
import { type Objects, StorageFull } from '../storage/store/objects.ts'
import { jpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import type { Landfall } from './support/landfall.ts'
import { patterned, sha256Of } from './support/s3-landfall.ts'
import { statusOf } from './support/status.ts'
import { create, createId, idOf, patch } from './support/tus.ts'
import { otherThan, type TwoPlaces, twoPlaces } from './support/two-places.ts'
import { outcome } from './support/uploads.ts'

const ceph = requires('ceph')
const ffmpeg = requires('ffmpeg')
const MIB = 1024 * 1024
const AS_JPEG = { metadata: { filename: 'a.jpg', filetype: 'image/jpeg' } }

/** One ready picture, and its move, in which something happens before the first byte is stored. */
async function ready(two: TwoPlaces, landfall: Landfall, to: Backend) {
  const { path } = await jpeg({ width: 640, height: 480 })
  const body = await readFile(path)
  const media = await outcome(
    landfall,
    'alice',
    idOf(await create(landfall, 'alice', { size: body.length, body, ...AS_JPEG })),
  )
  const id = parseMediaId(media.id)
  const uploadId = parseUploadId(media.uploadId)
  if (!id || !uploadId) throw new Error('there is no media item')
  const { storage, keyPrefixes } = await two.open(landfall)
  const nothing = async () => {}
  /** `meanwhile`: when the first copy is there; `before`: when the file was read, and its copies are not held yet. */
  const move = async (
    meanwhile: () => Promise<unknown> = nothing,
    before: () => Promise<unknown> = nothing,
  ): Promise<MoveResult> => {
    let isFirst = true
    const objectsOf: typeof storage.objectsOf = async (row) => {
      const objects = await storage.objectsOf(row)
      if (row.storage_backend !== to) return objects
      const putStream: Objects['putStream'] = async (...args) => {
        const stored = await objects.putStream(...args)
        if (isFirst) await meanwhile()
        isFirst = false
        return stored
      }
      return new Proxy(objects, {
        get(target, name) {
          if (name === 'putStream') return putStream
          const value: unknown = Reflect.get(target, name, target)
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
    }
    const { signal } = new AbortController()
    return await moveUpload(
      {
        db: landfall.db,
        storage: {
          objectsOf,
          bytesOf: (row) => storage.bytesOf(row),
          async enter(backend, bytes, work) {
            await before()
            return await storage.enter(backend, bytes, work)
          },
        },
        keyPrefixes,
        queues: MEDIA_QUEUES,
        signal,
      },
      { uploadId, to },
    )
  }
  const backend = async () =>
    (
      await landfall.db
        .selectFrom('landfall.media')
        .select('storage_backend')
        .where('id', '=', id)
        .executeTakeFirstOrThrow()
    ).storage_backend
  return { id, uploadId, media, body, move, backend }
}

async function queuesOf({ db }: Landfall) {
  const boss = await openQueues({ db, supervise: false, onError: () => {} })
  onTestFinished(() => boss.stop({ close: false, graceful: false }))
  return boss
}

/**
 * The longest that what is to go may stay, where the storage was slow once: half a minute until the hold of a mover that
 * gave up in mid-copy has run out, half a minute for which the storage is left alone, and a minute until the next upkeep.
 */
const REMOVED_WITHIN_MS = 150_000

describe.skipIf(!ceph.met || !ffmpeg.met).each<Backend>(['s3', 'disk'])('a move to %s in mid-copy', (to) => {
  const from = otherThan(to)

  it('leaves nothing of a media item that is purged, and moves one that is only deleted', async () => {
    const two = await twoPlaces()
    const landfall = await two.start(from)
    const boss = await queuesOf(landfall)
    const purged = await ready(two, landfall, to)
    const remove = (id: string) => landfall.as('alice')(`/api/v1/media/${id}`, { method: 'DELETE' })
    const result = await purged.move(async () => {
      expect((await remove(purged.id)).status).toBe(204)
      expect(await purgeMedia(landfall.db, [purged.id], removalEnqueuer(boss))).toMatchObject([
        { id: purged.id },
      ])
    })
    expect(result).toEqual({ kind: 'busy' })
    expect(await purged.move()).toEqual({ kind: 'gone' })
    await expect.poll(() => two.places[from].keys(), { timeout: 20_000 }).toEqual([])
    // Without delay: the owner has asked for its end. The removal may have been there already.
    const { rows } = await sql<{
      is_due: boolean
    }>`select due_at <= now() as is_due from landfall.stray_copies`.execute(landfall.db)
    expect(rows.every((row) => row.is_due)).toBe(true)
    await two.removeFormer(landfall)
    expect(await two.places[to].keys()).toEqual([])

    const deleted = await ready(two, landfall, to)
    expect(await deleted.move(() => remove(deleted.id))).toMatchObject({ kind: 'moved' })
    expect(await deleted.backend()).toBe(to)
    await purgeMedia(landfall.db, [deleted.id], removalEnqueuer(boss))
    // From both: what it was served from before is not kept for anybody.
    for (const place of [from, to])
      await expect.poll(() => two.places[place].keys(), { timeout: 20_000 }).toEqual([])
  }, 60_000)

  it('gives way to a worker, and to whoever else has changed the media item or holds the copy', async () => {
    const two = await twoPlaces()
    const landfall = await two.start(from, { withoutWorker: false })
    const item = await ready(two, landfall, to)
    const { db } = landfall
    expect(await item.move(() => endCopying(db, item.id))).toEqual({ kind: 'busy' })
    const [rendition] = await db
      .selectFrom('landfall.renditions')
      .selectAll()
      .where('media_id', '=', item.id)
      .execute()
    if (!rendition) throw new Error('there is no rendition')
    const again = () => recordRendition(db, { ...rendition, storage_backend: from })
    expect(await item.move(again)).toEqual({ kind: 'busy' })
    const held = () => sql`update landfall.stray_copies set fence = gen_random_uuid()`.execute(db)
    expect(await item.move(held)).toEqual({ kind: 'busy' })
    // It is another's now, for half a minute.
    expect(await item.move()).toEqual({ kind: 'busy' })
    await sql`update landfall.stray_copies set fence = null, fenced_until = null`.execute(db)
    expect(await item.backend()).toBe(from)
    expect(await item.move()).toMatchObject({ kind: 'moved' })
    // A worker that has lost its job and does not know writes to what is not served any more, and hears of it.
    await expect(again()).rejects.toThrow(StorageBackendChanged)
    const content = await landfall.as('alice')(`/api/v1/media/${item.id}/content`)
    expect(sha256Of(Buffer.from(await content.arrayBuffer()))).toBe(sha256Of(item.body))
  }, 60_000)

  it('forgets nothing that a move before it has left, and removes what it will not serve', async () => {
    const two = await twoPlaces()
    const landfall = await two.start(from, { withoutWorker: false })
    const item = await ready(two, landfall, to)
    const other = 'uploads/under-another-prefix'
    await two.places[to].replace(other, Buffer.from('of a mover that was killed'))
    await sql`
      insert into landfall.stray_copies (upload_id, backend, storage_keys, is_begun, due_at)
      values (${item.uploadId}, ${to}, ${[other]}::text[], true, now() + interval '1 hour')`.execute(
      landfall.db,
    )
    expect(await item.move()).toMatchObject({ kind: 'moved' })
    expect(await two.places[to].keys()).not.toContain(other)
    expect(await two.places[to].keys()).toContain(`uploads/${item.uploadId}`)
  }, 60_000)

  it('leaves no public copy of a media item that is deleted, be it of this move or of one that died', async () => {
    const two = await twoPlaces({ PUBLISH: 'copy' })
    const landfall = await two.start(from)
    const { db } = landfall
    const removeIt = (id: string) => landfall.as('alice')(`/api/v1/media/${id}`, { method: 'DELETE' })
    const left = async (key: string) => ({
      isThere: (await two.places[to].keys()).includes(key),
      strays: await db.selectFrom('landfall.stray_copies').selectAll().execute(),
    })
    const isRemoved = (key: string) =>
      expect.poll(() => left(key), { timeout: REMOVED_WITHIN_MS }).toEqual({ isThere: false, strays: [] })
    const item = await ready(two, landfall, to)
    const copy = `public/${item.id}.jpg`
    const died = async (uploadId: string, key: string) => {
      const { storage } = await two.open(landfall)
      const objects = await storage.objectsOf({ storage_backend: to })
      await objects.put(key, Buffer.from('a public copy'), {
        contentType: 'image/jpeg',
        disposition: 'inline',
      })
      await sql`
        insert into landfall.stray_copies
          (upload_id, backend, storage_keys, is_begun, due_at, fence, fenced_until)
        values (${uploadId}, ${to}, ${[key]}::text[], true, now() + interval '1 hour', gen_random_uuid(),
                now() + interval '2 seconds')`.execute(db)
    }
    // A move that was killed, whose hold has not run out when the item is deleted.
    await died(item.uploadId, copy)
    expect((await removeIt(item.id)).status).toBe(204)
    await isRemoved(copy)

    // And one that is under way, and finds what another had left.
    const second = await ready(two, landfall, to)
    const secondCopy = `public/${second.id}.jpg`
    await died(second.uploadId, secondCopy)
    await sql`update landfall.stray_copies set fence = null, fenced_until = null`.execute(db)
    expect(await second.move(() => removeIt(second.id))).toEqual({ kind: 'busy' })
    await isRemoved(secondCopy)
    expect(await two.places[from].keys()).toContain(`uploads/${second.uploadId}`)
  }, 400_000)

  it('looks again when it holds the copies, and writes down nothing of what it did not begin', async () => {
    const two = await twoPlaces()
    const landfall = await two.start(from)
    const { db } = landfall
    const item = await ready(two, landfall, to)
    const strays = () => db.selectFrom('landfall.stray_copies').select('backend').execute()
    const setStatus = (status: string) =>
      sql`update landfall.media set status = ${status} where id = ${item.id}`.execute(db)
    expect(await item.move(undefined, () => setStatus('processing'))).toEqual({ kind: 'busy' })
    expect(await strays()).toEqual([])
    await setStatus('ready')
    expect(
      await item.move(undefined, async () => {
        expect(await item.move()).toMatchObject({ kind: 'moved' })
      }),
    ).toEqual({ kind: 'gone' })
    expect(await item.backend()).toBe(to)
    // Of the one that was quicker: the former copy.
    expect(await strays()).toEqual([{ backend: from }])
    await two.removeFormer(landfall)
    expect(await strays()).toEqual([])
    expect(await two.places[to].keys()).toContain(`uploads/${item.uploadId}`)
  }, 60_000)

  it('does not begin while a worker is at it', async () => {
    const two = await twoPlaces()
    const landfall = await two.start(from)
    const item = await ready(two, landfall, to)
    const boss = await queuesOf(landfall)
    await sql`delete from pgboss.job where name = ${QUEUES.transcoding}`.execute(landfall.db)
    await boss.send(QUEUES.dead, { mediaId: item.id }, { startAfter: 3600 })
    await sql`update pgboss.job set state = 'active', started_on = now() where name = ${QUEUES.dead}`.execute(
      landfall.db,
    )
    expect(await item.move()).toEqual({ kind: 'busy' })
    await sql`delete from pgboss.job where name = ${QUEUES.dead}`.execute(landfall.db)
    expect(await item.move()).toMatchObject({ kind: 'moved' })
  }, 60_000)

  it('has a worker remove the former copies when their time has come, and not before', async () => {
    const two = await twoPlaces()
    const landfall = await two.start(from)
    const item = await ready(two, landfall, to)
    expect(await item.move()).toMatchObject({ kind: 'moved' })
    expect(await two.places[from].keys()).toContain(`uploads/${item.uploadId}`)
    await sql`update landfall.stray_copies set due_at = now()`.execute(landfall.db)
    const boss = await queuesOf(landfall)
    await boss.send(QUEUES.reaping, {})
    const bus = await Bus.open({ connectionString: landfall.connectionString, onError: () => {} })
    onTestFinished(() => bus.close())
    await bus.publish({ t: 'event', id: item.uploadId, queue: 'reaping' })
    await expect.poll(() => two.places[from].keys(), { timeout: 50_000 }).toEqual([])
    // The ledger hears of it after the copies are gone.
    await expect
      .poll(() => landfall.db.selectFrom('landfall.stray_copies').select('upload_id').execute())
      .toEqual([])
    expect(await two.places[to].keys()).toContain(`uploads/${item.uploadId}`)
  }, 90_000)

  it('takes the former public copy away as soon as the media item is deleted', async () => {
    const two = await twoPlaces({ PUBLISH: 'copy' })
    const landfall = await two.start(from)
    const item = await ready(two, landfall, to)
    expect(await item.move()).toMatchObject({ kind: 'moved' })
    const copy = `public/${item.id}.jpg`
    for (const place of [from, to]) expect(await two.places[place].keys()).toContain(copy)
    expect((await landfall.as('alice')(`/api/v1/media/${item.id}`, { method: 'DELETE' })).status).toBe(204)
    for (const place of [from, to])
      await expect.poll(() => two.places[place].keys(), { timeout: 20_000 }).not.toContain(copy)
    expect(await two.places[to].keys()).toContain(`uploads/${item.uploadId}`)
  }, 60_000)
})

describe.skipIf(!ceph.met || !ffmpeg.met)('a move to a disk', () => {
  it('takes its room as uploads do, and nothing where there is none', async () => {
    const two = await twoPlaces()
    const landfall = await two.start('s3')
    const { db } = landfall
    const item = await ready(two, landfall, 'disk')
    const figures = vi.spyOn(FileSystem.prototype, 'figures')
    onTestFinished(() => figures.mockRestore())
    figures.mockResolvedValue({ freeBytes: 1000, totalBytes: 4000, freeFiles: null, totalFiles: null })
    await expect(item.move()).rejects.toThrow(StorageFull)
    expect(await two.places.disk.keys()).toEqual([])
    expect(await db.selectFrom('landfall.stray_copies').select('upload_id').execute()).toEqual([])
    figures.mockRestore()
    let toCome = 0
    const meanwhile = async () => {
      toCome = (await readDiskClaims(db)).bytes
    }
    expect(await item.move(meanwhile)).toMatchObject({ kind: 'moved' })
    expect(toCome).toBeGreaterThanOrEqual(item.body.length)
    expect((await readDiskClaims(db)).bytes).toBe(0)
  }, 60_000)
})

describe.skipIf(!ceph.met)('a move from a bucket', () => {
  it('puts together what failed before it was', async () => {
    const two = await twoPlaces()
    const landfall = await two.start('s3', { withoutWorker: true })
    const bytes = patterned(12 * MIB, 'in parts')
    const id = await createId(landfall, 'alice', { size: bytes.length, ...AS_JPEG })
    for (let offset = 0; offset < bytes.length; offset += 6 * MIB) {
      const body = bytes.subarray(offset, offset + 6 * MIB)
      expect((await patch(landfall, 'alice', id, { offset, body })).status).toBe(204)
    }
    const { mediaId } = await statusOf(landfall, 'alice', id)
    await sql`update landfall.media set status = 'failed' where id = ${mediaId}`.execute(landfall.db)
    expect(await two.places.s3.keys()).toEqual([])
    expect(await two.move(landfall, 'disk')).toMatchObject({ exitCode: 0 })
    expect((await two.places.disk.bytes(`uploads/${id}`)).equals(bytes)).toBe(true)
    await two.removeFormer(landfall)
    expect([await two.places.s3.keys(), await two.places.s3.openMultiparts()]).toEqual([[], []])
  }, 60_000)
})
