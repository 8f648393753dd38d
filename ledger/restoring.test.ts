import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { freshDatabase } from '../test/support/landfall.ts'
import { created, leaseOf, newUpload, openLedger, SIZE, UNLIMITED } from '../test/support/ledger.ts'
import { createUpload } from './creation.ts'
import type { Ledger } from './database.ts'
import type { DueMedia } from './due-work.ts'
import { finishUpload } from './finishing.ts'
import { type MediaId, newMediaId, type OwnerId, type UploadId } from './ids.ts'
import {
  deleteMedia,
  failMedia,
  mediaForJob,
  publishMedia,
  recordFacts,
  recordRendition,
  rejectMedia,
} from './media.ts'
import { mediaToPurge, purgeMedia, purgeNow } from './purging.ts'
import { readQuota } from './quotas.ts'
import { miscountedOwners } from './recounting.ts'
import { findRemoval, forgetRenditions, withdrawPublicCopy } from './removal.ts'
import { reprocessMedia } from './reprocessing.ts'
import { restoreMedia } from './restoring.ts'
import { beginStep, endStep, stepsDone } from './steps.ts'

const nothing = async () => {}
const alice = 'alice' as OwnerId
const BAD = { code: 'bad', detail: 'It is bad.' }
let db: Ledger
let enqueued: MediaId[]
const enqueue = async (_trx: unknown, due: readonly DueMedia[]) => {
  enqueued.push(...due.map(({ id }) => id))
}

beforeEach(async () => {
  enqueued = []
  db = openLedger(await freshDatabase())
})
afterEach(() => db.destroy())

async function receive(): Promise<{ id: MediaId; uploadId: UploadId }> {
  const uploadId = created(await createUpload(db, newUpload(alice), UNLIMITED))
  const id = newMediaId()
  const append = {
    id: uploadId,
    ownerId: alice,
    fence: await leaseOf(db, alice, uploadId),
    offset: 0,
    to: SIZE,
  }
  await finishUpload(db, append, id, nothing)
  return { id, uploadId }
}

const statusOf = async (id: MediaId) => (await mediaForJob(db, id))?.status
const used = async () => (await readQuota(db, alice, UNLIMITED)).bytes.used
const restore = (id: MediaId) => restoreMedia(db, alice, [id], enqueue)
const eventsOf = async (id: MediaId) =>
  (
    await db.selectFrom('landfall.events').select('type').where('media_id', '=', id).orderBy('id').execute()
  ).map(({ type }) => type)

/** Records that the public copy was made by its step. */
async function publishWithCopy(id: MediaId): Promise<void> {
  await recordCopy(id)
  await publishMedia(db, id)
  const attempt = { mediaId: id, step: 'publish', attempt: await beginStep(db, id, 'publish') }
  await endStep(db, attempt, { status: 'done', detail: { copy: `public/${id}` } })
}
const recordCopy = (id: MediaId) =>
  recordRendition(db, {
    storage_backend: 'disk',
    media_id: id,
    kind: 'published',
    storage_key: `public/${id}`,
    content_type: 'image/png',
    width: null,
    height: null,
    size: 1,
  })

describe('a restored media item', () => {
  it.each<[string, (id: MediaId) => Promise<unknown>, boolean]>([
    ['processing', nothing, true],
    ['ready', (id) => publishMedia(db, id), true],
    ['failed', (id) => failMedia(db, id, BAD, nothing), false],
    ['rejected', (id) => rejectMedia(db, id, BAD, nothing), false],
  ])('is %s again, as it was, and counts as it did', async (status, end, continues) => {
    const { id } = await receive()
    await end(id)
    const before = await mediaForJob(db, id)
    await deleteMedia(db, alice, id, nothing)
    expect(await restore(id)).toMatchObject([{ id, outcome: 'restored' }])
    expect(await mediaForJob(db, id)).toEqual({ ...before, is_asked_again: continues })
    expect(await statusOf(id)).toBe(status)
    expect(enqueued).toEqual(continues ? [id] : [])
    expect((await eventsOf(id)).slice(-2)).toEqual(['media.deleted', 'media.restored'])
    expect(await miscountedOwners(db)).toEqual([])
    // Once more changes nothing and tells of nothing.
    expect(await restore(id)).toMatchObject([{ id, outcome: 'live' }])
    expect((await eventsOf(id)).filter((type) => type === 'media.restored')).toHaveLength(1)
  })

  it('is its owner’s alone, and none once it is purged', async () => {
    const { id } = await receive()
    await deleteMedia(db, alice, id, nothing)
    expect(await restoreMedia(db, 'bob' as OwnerId, [id, newMediaId()], enqueue)).toEqual([])
    await purgeMedia(db, [id], nothing)
    expect(await restore(id)).toMatchObject([{ id, outcome: 'purged' }])
    expect(await statusOf(id)).toBe('deleted')
  })

  it('forgets what steps found while it was deleted, so that they are done again', async () => {
    const { id } = await receive()
    const attempt = { mediaId: id, step: 'probe', attempt: await beginStep(db, id, 'probe') }
    await deleteMedia(db, alice, id, nothing)
    const late = { mediaId: id, step: 'scan', attempt: await beginStep(db, id, 'scan') }
    expect(await endStep(db, late, { status: 'done', detail: {}, facts: { width: 1 } })).toBe(false)
    await restore(id)
    expect(await endStep(db, attempt, { status: 'done', detail: {}, facts: { width: 1 } })).toBe(false)
    expect([...(await stepsDone(db, id)).keys()]).toEqual([])
    expect((await mediaForJob(db, id))?.width).toBeNull()
  })

  it('that is to be processed again has its steps repeated, though it waits for a worker already', async () => {
    const { id } = await receive()
    const attempt = { mediaId: id, step: 'probe', attempt: await beginStep(db, id, 'probe') }
    await recordFacts(db, id, { width: 1 })
    await endStep(db, attempt, { status: 'done', detail: {} })
    await publishMedia(db, id)
    await deleteMedia(db, alice, id, nothing)
    await restore(id)
    expect([...(await stepsDone(db, id)).keys()]).toEqual(['probe'])
    await reprocessMedia(db, { id, ownerId: alice }, enqueue)
    expect([...(await stepsDone(db, id)).keys()]).toEqual([])
  })
})

describe('the public copy of a restored media item', () => {
  it('stays where its removal had not begun', async () => {
    const { id, uploadId } = await receive()
    await publishWithCopy(id)
    await deleteMedia(db, alice, id, nothing)
    await restore(id)
    await withdrawPublicCopy(db, uploadId)
    expect(await findRemoval(db, uploadId)).toMatchObject({ renditionKeys: [], publishedKey: undefined })
    expect([...(await stepsDone(db, id)).keys()]).toEqual(['publish'])
  })

  it('is removed and made again where it had, and none is recorded before that is over', async () => {
    const { id, uploadId } = await receive()
    await publishWithCopy(id)
    await deleteMedia(db, alice, id, nothing)
    await withdrawPublicCopy(db, uploadId)
    await restore(id)
    expect([...(await stepsDone(db, id)).keys()]).toEqual([])
    expect(await recordCopy(id)).toBe(false)
    expect(await findRemoval(db, uploadId)).toMatchObject({ isWhole: false, publishedKey: `public/${id}` })
    await forgetRenditions(db, uploadId)
    expect(await recordCopy(id)).toBe(true)
  })
})

describe('a purge', () => {
  it('gives back the quota once, of a live item and of a deleted one', async () => {
    const [live, deleted, rejected] = [await receive(), await receive(), await receive()]
    await deleteMedia(db, alice, deleted.id, nothing)
    await rejectMedia(db, rejected.id, BAD, nothing)
    const ids = [live.id, deleted.id, rejected.id]
    expect(await used()).toBe(2 * SIZE)
    const removed: UploadId[] = []
    const purge = () => purgeNow(db, alice, ids, async (_trx, id) => void removed.push(id))
    const [first, second] = await Promise.all([purge(), purge()])
    expect([...first, ...second].map(({ id, wasLive }) => [id, wasLive]).toSorted()).toEqual(
      [
        [live.id, true],
        [deleted.id, false],
        [rejected.id, true],
      ].toSorted(),
    )
    expect(removed).toHaveLength(3)
    expect(await used()).toBe(0)
    expect(await miscountedOwners(db)).toEqual([])
    expect((await eventsOf(live.id)).slice(-2)).toEqual(['media.deleted', 'media.purged'])
    expect((await eventsOf(deleted.id)).slice(-2)).toEqual(['media.deleted', 'media.purged'])
    expect(await purgeNow(db, 'bob' as OwnerId, ids, nothing)).toEqual([])
  })

  it('of the reaper leaves what was restored and deleted anew since it looked', async () => {
    const { id } = await receive()
    await deleteMedia(db, alice, id, nothing)
    await sql`update landfall.media set deleted_at = now() - interval '2 hours'`.execute(db)
    const { ids } = await mediaToPurge(db, 3_600_000, 10, undefined)
    expect(ids).toEqual([id])
    await restore(id)
    await deleteMedia(db, alice, id, nothing)
    expect(await purgeMedia(db, ids, nothing, 3_600_000)).toEqual([])
  })

  it('races restoring, rejecting and another purge: one comes first, and the counters are exact', async () => {
    const seen = new Set<string>()
    for (let round = 0; round < 40; round++) {
      const { id } = await receive()
      if (round % 2 === 0) await deleteMedia(db, alice, id, nothing)
      const [restored] = await Promise.all([
        restore(id),
        purgeMedia(db, [id], nothing),
        round % 3 === 0 ? purgeNow(db, alice, [id], nothing) : undefined,
        rejectMedia(db, id, BAD, nothing),
      ])
      const media = await mediaForJob(db, id)
      expect(media?.purged_at !== null).toBe((await eventsOf(id)).includes('media.purged'))
      expect((await eventsOf(id)).filter((type) => type === 'media.purged').length).toBeLessThan(2)
      seen.add(`${restored?.[0]?.outcome}`)
    }
    expect(seen.size).toBeGreaterThan(1)
    expect(await miscountedOwners(db)).toEqual([])
  })
})
