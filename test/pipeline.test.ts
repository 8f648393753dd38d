import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PgBoss } from 'pg-boss'
import { afterEach, expect, inject, it } from 'vitest'
import { openQueues, QUEUES } from '../jobs/queues.ts'
import { STEPS } from '../processing/pipeline.ts'
import { shortVideo } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { openClamdValve } from './support/clamd-valve.ts'
import { asMediaId } from './support/ids.ts'
import { type Landfall, type LandfallOptions, startLandfall } from './support/landfall.ts'
import { statusOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { leftBehind, renditionsOfVideo, type Stored } from './support/stored.ts'
import { terminate } from './support/tus.ts'
import { outcome, sendFile } from './support/uploads.ts'
import { untilWaiting } from './support/waits.ts'

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')

type Ids = { uploadId: string; mediaId: string }

describeStorages.skipIf(!ffmpeg.met || !clamd.met)('the pipeline', (storage) => {
  const started: Landfall[] = []
  const queues: PgBoss[] = []
  afterEach(async () => {
    for (const boss of queues.splice(0)) await boss.stop({ close: false, graceful: false })
    for (const landfall of started.splice(0).reverse()) await landfall.close()
  })

  async function start(options: LandfallOptions = {}): Promise<Landfall> {
    const landfall = await startLandfall({ storage, ...options })
    started.push(landfall)
    return landfall
  }
  /** A server with a worker, beside one that has none. */
  const startWorkerBeside = (landfall: Landfall) => start({ beside: landfall })

  async function queuesOf(landfall: Landfall): Promise<PgBoss> {
    const boss = await openQueues({ db: landfall.db, supervise: false, onError: () => {} })
    queues.push(boss)
    return boss
  }

  it('records every step, with when it began and ended, behind those that it builds on', async () => {
    const landfall = await start()
    const { uploadId } = await sendFile(landfall, 'alice', await shortVideo())
    const media = await outcome(landfall, 'alice', uploadId)
    // The last step only tells listeners, so it may still be under way when they hear of it.
    await expect.poll(async () => (await stepsOf(landfall, media.id)).at(-1)?.status).toBe('done')

    const steps = await stepsOf(landfall, media.id)
    expect(steps.map(({ step }) => step).toSorted()).toEqual(STEPS.map(({ name }) => name).toSorted())
    const finished = new Map(
      steps.map(({ step, finished_at }) => [step, finished_at?.getTime() ?? Number.NaN]),
    )
    for (const { step, status, attempt, started_at } of steps) {
      expect({ status, attempt }).toEqual({ status: 'done', attempt: 1 })
      expect(finished.get(step)).toBeGreaterThanOrEqual(started_at.getTime())
      for (const earlier of STEPS.find(({ name }) => name === step)?.after ?? [])
        expect(started_at.getTime(), `${step} after ${earlier}`).toBeGreaterThanOrEqual(
          finished.get(earlier) ?? Number.NaN,
        )
    }
  })

  it('changes nothing when the same job comes again', async () => {
    const landfall = await start()
    const { uploadId } = await sendFile(landfall, 'alice', await shortVideo())
    const media = await outcome(landfall, 'alice', uploadId)
    await expect.poll(async () => (await stepsOf(landfall, media.id)).at(-1)?.status).toBe('done')
    const before = await everythingAbout(landfall, media.id)

    await untilCompleted(await queuesOf(landfall), [media.id, media.id])
    expect(await everythingAbout(landfall, media.id)).toEqual(before)
  })

  it('has one outcome when two workers run the same jobs at the same time', async () => {
    const landfall = await start({ withoutWorker: true })
    const { uploadId } = await sendFile(landfall, 'alice', await shortVideo())
    const { mediaId } = await statusOf(landfall, 'alice', uploadId)
    const boss = await queuesOf(landfall)
    const id = mediaId ?? ''
    const completed = untilCompleted(boss, [id, id, id])
    await Promise.all([startWorkerBeside(landfall), startWorkerBeside(landfall)])
    expect(await outcome(landfall, 'alice', uploadId)).toMatchObject({ status: 'ready' })
    await completed

    const { events, media, steps, renditions } = await everythingAbout(landfall, id)
    expect(events.map(({ type }) => type)).toEqual(['upload.created', 'upload.received', 'media.ready'])
    const done = steps.filter(({ status }) => status === 'done').map(({ step }) => step)
    expect(done.toSorted()).toEqual(STEPS.map(({ name }) => name).toSorted())
    expect(steps.filter(({ status }) => status !== 'done')).toEqual([])
    const jobs = await boss.findJobs(QUEUES.processing)
    expect(jobs.map(({ retryCount }) => retryCount)).toEqual([0, 0, 0, 0])
    expect(renditions.map(({ storage_key }) => storage_key).toSorted()).toEqual(renditionsOfVideo(id))
    const { upload_id } = media
    expect(await leftBehind(landfall)).toEqual([...renditionsOfVideo(id), `uploads/${upload_id}`])
  })

  const endings: [
    what: string,
    end: (landfall: Landfall, ids: Ids) => Promise<Response>,
    events: string[],
  ][] = [
    [
      'media was deleted',
      (landfall, { mediaId }) => landfall.as('alice')(`/api/v1/media/${mediaId}`, { method: 'DELETE' }),
      ['media.deleted'],
    ],
    [
      'upload was terminated',
      (landfall, { uploadId }) => terminate(landfall, 'alice', uploadId),
      ['upload.terminated', 'media.deleted'],
    ],
  ]

  it.each(endings)('stops, and publishes nothing, when the %s while it ran', async (_what, end, ended) => {
    await using valve = await openClamdValve(inject('clamdUrl'), 64 * 1024)
    const landfall = await start({ env: { CLAMD_URL: valve.url } })
    const { uploadId } = await sendFile(landfall, 'alice', await shortVideo())
    await valve.inTheMiddle
    const mediaId = (await statusOf(landfall, 'alice', uploadId)).mediaId ?? ''
    expect((await end(landfall, { uploadId, mediaId })).status).toBe(204)
    valve.letThrough()
    const boss = await queuesOf(landfall)
    await expect
      .poll(async () => (await boss.findJobs(QUEUES.processing)).map(({ state }) => state), {
        timeout: 10_000,
      })
      .toEqual(['completed'])

    const { events, media, steps, renditions } = await everythingAbout(landfall, mediaId)
    expect(media).toMatchObject({ status: 'deleted', ready_at: null })
    expect(events.map(({ type }) => type)).toEqual(['upload.created', 'upload.received', ...ended])
    expect(steps.map(({ step }) => step)).toEqual(['assemble', 'identify', 'scan'])
    expect(renditions).toEqual([])
    expect(await leftBehind(landfall)).toEqual([`uploads/${media.upload_id}`])
    for (const path of ['', '/content', '/thumbnail']) {
      expect((await landfall.as('alice')(`/api/v1/media/${mediaId}${path}`)).status).toBe(404)
    }
  })

  it('processes again what failed for reasons of ours, at its owner’s wish only', async () => {
    const landfall = await start({ withoutWorker: true })
    const boss = await queuesOf(landfall)
    await boss.updateQueue(QUEUES.processing, { retryLimit: 0 })
    const { uploadId } = await sendFile(landfall, 'alice', await shortVideo())
    const FFPROBE_PATH = join(landfall.dataDirectory, 'ffprobe')
    await writeFile(FFPROBE_PATH, '#!/bin/sh\necho not JSON', { mode: 0o755 })
    const broken = await startLandfall({ storage, beside: landfall, env: { FFPROBE_PATH } })
    const failed = await outcome(landfall, 'alice', uploadId)
    expect(failed.status).toBe('failed')
    await broken.close()

    const again = (sub: string) => landfall.as(sub)(`/api/v1/media/${failed.id}/process`, { method: 'POST' })
    expect((await again('bob')).status).toBe(404)
    const accepted = await again('alice')
    expect([accepted.status, ((await accepted.json()) as { status: string }).status]).toEqual([
      202,
      'processing',
    ])
    expect((await again('alice')).status).toBe(202)
    await startWorkerBeside(landfall)
    const statusNow = async () =>
      ((await (await landfall.as('alice')(`/api/v1/media/${failed.id}`)).json()) as { status: string }).status
    await expect.poll(statusNow, { timeout: 20_000 }).toBe('ready')

    // What is ready can be looked at again, and stays ready.
    expect((await again('alice')).status).toBe(202)
    await expect
      .poll(
        async () =>
          (await stepsOf(landfall, failed.id)).filter(({ step }) => step === 'probe').at(-1)?.status,
        {
          timeout: 20_000,
        },
      )
      .toBe('done')
    expect(await statusNow()).toBe('ready')
    await landfall.as('alice')(`/api/v1/media/${failed.id}`, { method: 'DELETE' })
    expect((await again('alice')).status).toBe(404)
  })

  it('gives up on a job that fails every time: the media has failed, and its owner is told', async () => {
    const landfall = await start({ withoutWorker: true })
    const boss = await queuesOf(landfall)
    await boss.updateQueue(QUEUES.processing, { retryLimit: 2, retryDelay: 0, retryBackoff: false })
    const { uploadId } = await sendFile(landfall, 'alice', await shortVideo())
    const FFPROBE_PATH = join(landfall.dataDirectory, 'ffprobe')
    await writeFile(FFPROBE_PATH, '#!/bin/sh\necho not JSON', { mode: 0o755 })

    await start({ beside: landfall, env: { FFPROBE_PATH } })
    const media = await outcome(landfall, 'alice', uploadId)
    expect(media).toMatchObject({ status: 'failed', reason: { code: 'processing-failed' }, contentUrl: null })
    // Our own words only: neither a path nor what went wrong inside.
    expect(media.reason?.detail).not.toMatch(/[/]|JSON|Error/)
    const { events, steps } = await everythingAbout(landfall, media.id)
    expect(events.map(({ type }) => type)).toEqual(['upload.created', 'upload.received', 'media.failed'])
    expect(steps.slice(-3).map(({ step, attempt, status }) => [step, attempt, status])).toEqual([
      ['probe', 1, 'failed'],
      ['probe', 2, 'failed'],
      ['probe', 3, 'failed'],
    ])
    expect((await landfall.as('alice')(`/api/v1/media/${media.id}/content`)).status).toBe(409)
  })

  it.each([
    ['gone', ({ lose }: Stored, key: string) => lose(key)],
    [
      'shorter than what was acknowledged',
      async ({ bytes, replace }: Stored, key: string) => replace(key, (await bytes(key)).subarray(0, 1000)),
    ],
  ])('fails at once when the bytes are %s: no attempt brings them back', async (_what, lose) => {
    const landfall = await start({ withoutWorker: true })
    const { uploadId } = await sendFile(landfall, 'alice', await shortVideo())
    await lose(landfall.stored, `uploads/${uploadId}`)
    await startWorkerBeside(landfall)
    const media = await outcome(landfall, 'alice', uploadId)
    expect(media).toMatchObject({ status: 'failed', reason: { code: 'bytes-lost' }, contentUrl: null })
    const { events, steps } = await everythingAbout(landfall, media.id)
    expect(events.map(({ type }) => type)).toEqual(['upload.created', 'upload.received', 'media.failed'])
    expect(steps).toMatchObject([{ step: 'assemble', attempt: 1, status: 'failed' }])
  })

  // What a bucket that is away does is in the tests of S3.
  if (storage === 'disk')
    it('takes a volume that is away for an outage, not for lost bytes', async () => {
      await using valve = await openClamdValve(inject('clamdUrl'), 64 * 1024)
      const landfall = await start({ env: { CLAMD_URL: valve.url } })
      const { uploadId } = await sendFile(landfall, 'alice', await shortVideo())
      await valve.inTheMiddle
      const volume = join(landfall.dataDirectory, 'objects', 'uploads')
      await rename(volume, `${volume}-away`)
      valve.letThrough()
      const { mediaId } = await statusOf(landfall, 'alice', uploadId)
      await untilWaiting(landfall, mediaId)
      await rename(`${volume}-away`, volume)
      expect(await outcome(landfall, 'alice', uploadId)).toMatchObject({ status: 'ready' })
    })
})

/** Sends a processing job for each id at once and waits until all of them have been worked off. */
async function untilCompleted(boss: PgBoss, mediaIds: string[]): Promise<void> {
  for (const mediaId of mediaIds) await boss.send(QUEUES.processing, { mediaId })
  const states = async () => (await boss.findJobs(QUEUES.processing)).map(({ state }) => state)
  // That of the upload as well.
  await expect
    .poll(async () => new Set(await states()), { timeout: 30_000, interval: 100 })
    .toEqual(new Set(['completed']))
}

async function stepsOf({ db }: Landfall, mediaId: string) {
  return await db
    .selectFrom('landfall.processing_steps')
    .selectAll()
    .where('media_id', '=', asMediaId(mediaId))
    .orderBy('started_at')
    .orderBy('attempt')
    .execute()
}

/** What the ledger and the storage have of a media. */
async function everythingAbout(landfall: Landfall, mediaId: string) {
  const { db, stored } = landfall
  const media = await db
    .selectFrom('landfall.media')
    .selectAll()
    .where('id', '=', asMediaId(mediaId))
    .executeTakeFirstOrThrow()
  const events = await db
    .selectFrom('landfall.events')
    .selectAll()
    .where('upload_id', '=', media.upload_id)
    .orderBy('id')
    .execute()
  const renditions = await db
    .selectFrom('landfall.renditions')
    .selectAll()
    .where('media_id', '=', asMediaId(mediaId))
    .orderBy('kind')
    .execute()
  const bytes = await Promise.all(
    renditions.map(async ({ storage_key }) => (await stored.bytes(storage_key)).toString('base64')),
  )
  return { media, events, renditions, bytes, steps: await stepsOf(landfall, mediaId) }
}
