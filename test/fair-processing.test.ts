import type { PgBoss } from 'pg-boss'
import { afterEach, describe, expect, it } from 'vitest'
import { parseMediaId } from '../ledger/ids.ts'
import { retryMedia } from '../ledger/retrying.ts'
import { openQueues, processingEnqueuer, QUEUES } from '../processing/queues.ts'
import { jpeg } from './fixtures/media.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { sendFile } from './support/uploads.ts'

const env = { SCAN: 'off', UPLOAD_MAX_OPEN: '1000', WORKER_CONCURRENCY: '1' }

describe('the workers', () => {
  const undo: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const release of undo.splice(0).reverse()) await release()
  })
  async function start(beside?: Landfall): Promise<Landfall> {
    const landfall = await startLandfall(beside ? { beside, env } : { withoutWorker: true, env })
    undo.push(() => landfall.close())
    return landfall
  }
  async function queuesOf({ db }: Landfall): Promise<PgBoss> {
    const boss = await openQueues({ db, supervise: false, onError: () => {} })
    undo.push(() => boss.stop({ close: false, graceful: false }))
    return boss
  }
  const send = async (landfall: Landfall, owner: string, count: number) => {
    const picture = await jpeg({ width: 320, height: 240 })
    for (let i = 0; i < count; i++) await sendFile(landfall, owner, picture)
  }
  const countOf = async ({ db }: Landfall, status: 'ready' | 'processing') =>
    (await db.selectFrom('media').select('id').where('status', '=', status).execute()).length
  /** Owners in the order in which their files were begun. */
  const begun = async ({ db }: Landfall) =>
    (
      await db
        .selectFrom('processing_steps')
        .innerJoin('media', 'media.id', 'processing_steps.media_id')
        .select('media.owner_id')
        .where('step', '=', 'assemble')
        .orderBy('started_at')
        .execute()
    ).map(({ owner_id }) => owner_id)
  const statesOf = async (boss: PgBoss, queue: string) =>
    (await boss.findJobs(queue)).map(({ state }) => state)
  const waiting = async (boss: PgBoss) =>
    (
      await Promise.all(
        [QUEUES.processing, QUEUES.again].map((queue) => boss.findJobs(queue, { queued: true })),
      )
    ).flat()

  it('take the next file of one owner before the many that another has sent before', async () => {
    const landfall = await start()
    await send(landfall, 'alice', 40)
    await send(landfall, 'bob', 2)
    await start(landfall)
    await expect.poll(() => countOf(landfall, 'ready'), { timeout: 120_000 }).toBe(42)
    const owners = await begun(landfall)
    // Ties are by when they came, to the second of work: two of these.
    expect(owners.lastIndexOf('bob'), owners.join(' ')).toBeLessThan(10)
  }, 180_000)

  it('do not let the one pay who was alone before', async () => {
    const landfall = await start()
    const worker = await startLandfall({ beside: landfall, env })
    await send(landfall, 'alice', 10)
    await expect.poll(() => countOf(landfall, 'ready'), { timeout: 60_000 }).toBe(10)
    await worker.close()
    await send(landfall, 'bob', 10)
    await send(landfall, 'alice', 10)
    await start(landfall)
    await expect.poll(() => countOf(landfall, 'ready'), { timeout: 60_000 }).toBe(30)
    const owners = (await begun(landfall)).slice(10)
    const half = owners.slice(0, 10)
    expect(half.filter((owner) => owner === 'alice').length, owners.join(' ')).toBeGreaterThanOrEqual(3)
    expect(half.filter((owner) => owner === 'bob').length, owners.join(' ')).toBeGreaterThanOrEqual(3)
  }, 180_000)

  it('have one job of a media item however often it is asked for, on two nodes and by an operator', async () => {
    const landfall = await start()
    const boss = await queuesOf(landfall)
    const worker = await startLandfall({ beside: landfall, env })
    await send(landfall, 'alice', 1)
    await expect.poll(() => statesOf(boss, QUEUES.processing), { timeout: 60_000 }).toEqual(['completed'])
    await worker.close()
    const other = await startLandfall({ beside: landfall, withoutWorker: true, env })
    undo.push(() => other.close())
    const { id } = await landfall.db.selectFrom('media').select('id').executeTakeFirstOrThrow()
    const mediaId = parseMediaId(id)
    if (!mediaId) throw new Error('no id')
    const asked = await Promise.all(
      Array.from({ length: 300 }, async (_, i) => {
        if (i % 10 === 0) {
          await retryMedia(landfall.db, { id: mediaId, ownerId: undefined }, processingEnqueuer(boss))
          return 202
        }
        const node = i % 2 ? landfall : other
        return (await node.as('alice')(`/api/v1/media/${id}/process`, { method: 'POST' })).status
      }),
    )
    expect(new Set(asked)).toEqual(new Set([202]))
    expect(await waiting(boss)).toHaveLength(1)

    // New files go first, though they come later.
    await send(landfall, 'bob', 3)
    await landfall.db.deleteFrom('processing_steps').where('media_id', '=', id).execute()
    await start(landfall)
    await expect.poll(() => countOf(landfall, 'ready'), { timeout: 60_000 }).toBe(4)
    await expect.poll(async () => await begun(landfall), { timeout: 60_000 }).toHaveLength(4)
    expect(await begun(landfall)).toEqual(['bob', 'bob', 'bob', 'alice'])
    await expect.poll(() => waiting(boss), { timeout: 20_000 }).toEqual([])
  }, 180_000)

  it('process once more what was asked for while they were at it, and what a release before asks for', async () => {
    const landfall = await start()
    const boss = await queuesOf(landfall)
    const worker = await startLandfall({ beside: landfall, env })
    await send(landfall, 'alice', 1)
    await expect.poll(() => statesOf(boss, QUEUES.processing), { timeout: 60_000 }).toEqual(['completed'])
    await worker.close()
    const { id } = await landfall.db.selectFrom('media').select('id').executeTakeFirstOrThrow()
    const ask = () => landfall.as('alice')(`/api/v1/media/${id}/process`, { method: 'POST' })
    await ask()
    // A worker begins: what is asked for from now on is one more time.
    const [job] = await boss.fetch(QUEUES.again)
    expect(job?.data).toMatchObject({ mediaId: id })
    await landfall.db.updateTable('media').set({ is_asked_again: false }).execute()
    await Promise.all(Array.from({ length: 20 }, ask))
    expect(await waiting(boss)).toEqual([])
    const { is_asked_again } = await landfall.db
      .selectFrom('media')
      .select('is_asked_again')
      .executeTakeFirstOrThrow()
    expect(is_asked_again).toBe(true)
    // It dies, and the reaper finds what was asked for.
    await boss.complete(QUEUES.again, job?.id ?? '')
    for (let i = 0; i < 20; i++)
      await boss.send(QUEUES.processing, { mediaId: id, size: 1, since: Date.now() })
    await start(landfall)
    await expect.poll(() => waiting(boss), { timeout: 60_000 }).toEqual([])
    const again = () => statesOf(boss, QUEUES.again)
    await expect.poll(async () => new Set(await again()), { timeout: 60_000 }).toEqual(new Set(['completed']))
    expect((await again()).length).toBeLessThanOrEqual(24)
  }, 180_000)
})
