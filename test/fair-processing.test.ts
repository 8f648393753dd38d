import type { PgBoss } from 'pg-boss'
import { afterEach, describe, expect, it } from 'vitest'
import { openQueues, type ProcessingJob, processingEnqueuer, QUEUES } from '../jobs/queues.ts'
import { newMediaId, type OwnerId, parseMediaId } from '../ledger/ids.ts'
import { reprocessMedia } from '../ledger/reprocessing.ts'
import { Poller } from '../processing/polling/poller.ts'
import { jpeg } from './fixtures/media.ts'
import { asOwnerId } from './support/ids.ts'
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
    (await db.selectFrom('landfall.media').select('id').where('status', '=', status).execute()).length
  /** Owners in the order in which their files were begun. */
  const begun = async ({ db }: Landfall) =>
    (
      await db
        .selectFrom('landfall.processing_steps as processing_steps')
        .innerJoin('landfall.media as media', 'media.id', 'processing_steps.media_id')
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
    expect(owners.lastIndexOf(asOwnerId('bob')), owners.join(' ')).toBeLessThan(10)
  }, 180_000)

  it('do not give one owner all slots of a worker for files that take long', async () => {
    const landfall = await start()
    const boss = await queuesOf(landfall)
    await send(landfall, 'alice', 1)
    // A file that was really sent says whose it is, and that it is short.
    expect((await boss.findJobs(QUEUES.processing)).map(({ groupId }) => groupId)).toEqual(['short:alice'])
    await boss.deleteAllJobs(QUEUES.processing)
    const enqueue = processingEnqueuer(boss)
    const sent = async (owner: string, size: number, count = 1) => {
      const ownerId = owner as OwnerId
      const due = Array.from({ length: count }, () => ({ id: newMediaId(), ownerId, size, turn: 1000 }))
      await landfall.db.transaction().execute((trx) => enqueue(trx, due))
    }
    const [LONG, SHORT] = [2_000_000_000, 200_000]
    await sent('alice', LONG, 200)
    const running: { owner: string; end: () => void }[] = []
    const begun: string[] = []
    let isOver = false
    const poller = new Poller<ProcessingJob>({
      db: landfall.db,
      boss,
      queues: [{ name: QUEUES.processing }],
      slots: 2,
      pollMs: 100,
      failures: { record: (_, error) => console.error(error) },
      onError: (error) => console.error(error),
      async handle({ groupId, data }) {
        const owner = String(groupId).replace(/^.*:/, '')
        begun.push(`${owner} ${data.size}`)
        if (data.size === SHORT || isOver) return
        const ended = Promise.withResolvers<void>()
        running.push({ owner, end: ended.resolve })
        await ended.promise
      },
    })
    undo.push(async () => {
      isOver = true
      for (const { end } of running) end()
      await poller.close(5_000)
    })
    await expect.poll(() => begun).toEqual([`alice ${LONG}`])
    // Others come while the first of them goes on for hours; so may what its owner sends that takes no time.
    await sent('bob', SHORT)
    await expect.poll(() => begun.slice(1)).toEqual([`bob ${SHORT}`])
    await sent('alice', SHORT)
    await expect.poll(() => begun.slice(2)).toEqual([`alice ${SHORT}`])
    await sent('bob', LONG)
    await expect.poll(() => begun.slice(3)).toEqual([`bob ${LONG}`])
    expect(running.map(({ owner }) => owner)).toEqual(['alice', 'bob'])
    // One ends, and its owner's next begins.
    running[0]?.end()
    await expect.poll(() => begun.slice(4)).toEqual([`alice ${LONG}`])
  }, 120_000)

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
    const { id } = await landfall.db.selectFrom('landfall.media').select('id').executeTakeFirstOrThrow()
    const mediaId = parseMediaId(id)
    if (!mediaId) throw new Error('no id')
    const asked = await Promise.all(
      Array.from({ length: 300 }, async (_, i) => {
        if (i % 10 === 0) {
          await reprocessMedia(landfall.db, { id: mediaId, ownerId: undefined }, processingEnqueuer(boss))
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
    await landfall.db.deleteFrom('landfall.processing_steps').where('media_id', '=', id).execute()
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
    const { id } = await landfall.db.selectFrom('landfall.media').select('id').executeTakeFirstOrThrow()
    const ask = () => landfall.as('alice')(`/api/v1/media/${id}/process`, { method: 'POST' })
    await ask()
    // A worker begins: what is asked for from now on is one more time.
    const [job] = await boss.fetch(QUEUES.again)
    expect(job?.data).toMatchObject({ mediaId: id })
    await landfall.db.updateTable('landfall.media').set({ is_asked_again: false }).execute()
    await Promise.all(Array.from({ length: 20 }, ask))
    expect(await waiting(boss)).toEqual([])
    const { is_asked_again } = await landfall.db
      .selectFrom('landfall.media')
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
