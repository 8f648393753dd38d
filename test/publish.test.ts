import { join } from 'node:path'
import { HeadObjectCommand } from '@aws-sdk/client-s3'
import type { PgBoss } from 'pg-boss'
import sharp from 'sharp'
import { afterEach, describe, expect, it } from 'vitest'
import { openQueues, QUEUES, removalEnqueuer } from '../jobs/queues.ts'
import { reap } from '../jobs/upkeep/reaper.ts'
import { EndLog } from '../ledger/end-log.ts'
import { parseMediaId } from '../ledger/ids.ts'
import { failMedia, type MediaFacts, mediaForJob } from '../ledger/media.ts'
import type { StepContext } from '../processing/step/step.ts'
import { publish } from '../processing/steps/publish.ts'
import { Ffmpeg } from '../processing/tools/ffmpeg.ts'
import { ToolFailed } from '../processing/tools/tool-errors.ts'
import { parseConfig } from '../server/config.ts'
import { storageOptionsOf } from '../server/storage-options.ts'
import { openStorage } from '../storage/storage.ts'
import type { Objects } from '../storage/store/objects.ts'
import {
  clearPng,
  type Fixture,
  jpeg,
  madeByFfmpeg,
  madeByHeif,
  shortVideo,
  turnedJpeg,
} from './fixtures/media.ts'
import { programPath, requires } from './services/requirements.ts'
import { freshBucket } from './support/bucket.ts'
import { type Landfall, type LandfallOptions, startLandfall } from './support/landfall.ts'
import { QUIET } from './support/quiet.ts'
import { statusOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { terminate } from './support/tus.ts'
import { type MediaJson, process, sendFile } from './support/uploads.ts'

const clamd = requires('clamd')
const ffmpeg = requires('ffmpeg')
const heif = requires('heif')
const STILL = ['-f', 'lavfi', '-i', 'testsrc2=size=640x360', '-frames:v', '1']
const CDN_URL = 'https://cdn.example/media'
const ENV = { PUBLISH: 'copy', PUBLIC_PREFIX: 'public/{owner}/{yyyy}/', CDN_URL }
/** Of the short video, as `probe` has them. */
const FACTS = { width: 640, height: 360, rotation: 0, duration_seconds: 2 }
const FOLDER = `public/alice/${new Date().getUTCFullYear()}/`

describeStorages.skipIf(!clamd.met || !ffmpeg.met)('a public copy', (storage) => {
  const undo: (() => unknown)[] = []
  afterEach(async () => {
    for (const release of undo.splice(0).reverse()) await release()
  })

  async function start(options: LandfallOptions = {}): Promise<Landfall> {
    const landfall = await startLandfall({ storage, ...options, env: { ...ENV, ...options.env } })
    undo.push(() => landfall.close())
    return landfall
  }
  async function queuesOf(landfall: Landfall): Promise<PgBoss> {
    const boss = await openQueues({ db: landfall.db, supervise: false, onError: () => {} })
    undo.push(() => boss.stop({ close: false, graceful: false }))
    return boss
  }
  const publicKeys = async ({ stored }: Landfall) =>
    (await stored.keys()).filter((key) => key.startsWith('public/'))
  const remove = (landfall: Landfall, id: string) =>
    landfall.as('alice')(`/api/v1/media/${id}`, { method: 'DELETE' })
  const aPicture = async () => jpeg({ width: 640, height: 480 })
  const recorded = ({ db }: Landfall) =>
    db.selectFrom('landfall.renditions').select('kind').where('kind', '=', 'published').execute()

  it('has the index in front, its name says what it is, and its address is told', async () => {
    const landfall = await start()
    const file = await shortVideo()
    const media: MediaJson & { cdnUrl?: string } = await process(landfall, 'alice', file)
    const key = `${FOLDER}${media.id}.mp4`
    expect(await publicKeys(landfall)).toEqual([key])
    // ISO 14496-12: the index is in front, for players that begin before they have all of it.
    const bytes = await landfall.stored.bytes(key)
    expect(bytes.indexOf('moov')).toBeGreaterThan(0)
    expect(bytes.indexOf('moov')).toBeLessThan(bytes.indexOf('mdat'))
    expect(media.cdnUrl).toBe(`${CDN_URL}/${key.slice('public/'.length)}`)
    const { items } = (await (await landfall.as('alice')('/api/v1/media')).json()) as { items: unknown[] }
    expect(items).toMatchObject([{ cdnUrl: media.cdnUrl }])
  })

  it.skipIf(!heif.met)('is a picture that browsers show, turned as it is to be', async () => {
    const landfall = await start()
    const cases: [Fixture, string, string][] = [
      // The format has a rotation of its own; where there is none, that of EXIF counts for nothing.
      [await madeByHeif('phone.heic', await turnedJpeg()), 'jpeg', '640x480'],
      [await madeByHeif('clear.heic', await clearPng()), 'webp', '640x480'],
      [await madeByFfmpeg('picture.bmp', STILL), 'jpeg', '640x360'],
      [await madeByFfmpeg('scan.tiff', [...STILL, '-pix_fmt', 'rgb24']), 'jpeg', '640x360'],
    ]
    for (const [file, format, size] of cases) {
      const media = await process(landfall, 'alice', file)
      expect(media, file.name).toMatchObject({ status: 'ready', reason: null })
      expect(`${media.width}x${media.height}`, file.name).toBe(size)
      const key = `${FOLDER}${media.id}.${format === 'jpeg' ? 'jpg' : format}`
      expect(await publicKeys(landfall), file.name).toContain(key)
      const copy = await sharp(await landfall.stored.bytes(key)).metadata()
      expect(`${copy.format} ${copy.width}x${copy.height}`, file.name).toBe(`${format} ${size}`)
      expect(copy.orientation, file.name).toBeUndefined()
    }
  })

  it('is not made of a file that stays private, and without a CDN has no address', async () => {
    const landfall = await start({ env: { PUBLISH: 'in-place' } })
    expect(await process(landfall, 'alice', await aPicture())).toMatchObject({ cdnUrl: null })
    expect(await publicKeys(landfall)).toEqual([])
    const { CDN_URL: _, ...env } = ENV
    const other = await startLandfall({ storage, env })
    undo.push(() => other.close())
    expect(await process(other, 'alice', await aPicture())).toMatchObject({ cdnUrl: null })
    expect(await publicKeys(other)).toHaveLength(1)
  })

  it.each<[string, (landfall: Landfall, media: MediaJson) => Promise<Response>]>([
    ['the media is deleted', (landfall, { id }) => remove(landfall, id)],
    ['its upload is terminated', (landfall, { uploadId }) => terminate(landfall, 'alice', uploadId)],
  ])('goes at once when %s, and the rest when that is purged', async (_when, end) => {
    const landfall = await start()
    const media = await process(landfall, 'alice', await aPicture())
    const before = await landfall.stored.keys()
    expect((await end(landfall, media)).status).toBe(204)
    await expect.poll(() => publicKeys(landfall), { timeout: 20_000 }).toEqual([])
    expect(await landfall.stored.keys()).toEqual(before.filter((key) => !key.startsWith('public/')))
    await expect.poll(() => recorded(landfall), { timeout: 20_000 }).toEqual([])

    await reap({
      db: landfall.db,
      boss: await queuesOf(landfall),
      retentionMs: 0,
      notifyListeners: () => {},
      log: QUIET,
    })
    await expect.poll(() => landfall.stored.keys(), { timeout: 20_000 }).toEqual([])
  })

  /** A received file whose job this test holds, as a worker would, and the step that makes it public. */
  async function held(landfall: Landfall) {
    // A video: the copy of an image is another step's picture.
    const { uploadId } = await sendFile(landfall, 'alice', await shortVideo())
    const id = parseMediaId((await statusOf(landfall, 'alice', uploadId)).mediaId ?? '')
    if (!id) throw new Error('the upload was not received')
    await landfall.db
      .updateTable('landfall.media')
      .set({ content_type: 'video/mp4', kind: 'video' })
      .execute()
    const boss = await queuesOf(landfall)
    const [job] = await boss.fetch(QUEUES.processing)
    if (!job) throw new Error('there is no job')
    const config = parseConfig({ ...landfall.storageEnv, DATA_DIR: landfall.dataDirectory }, { auth: false })
    const opened = await openStorage(storageOptionsOf(config), landfall.db)
    undo.push(() => opened.close())
    const media = await mediaForJob(landfall.db, id)
    if (!media) throw new Error('the media is gone')
    // The object is complete in either storage once this has been done.
    const { etag } = await opened.bytes.assemble(media.upload_id)
    const stored = await opened.objectsOf(media)
    const ffmpegPaths = { ffmpegPath: programPath('ffmpeg'), ffprobePath: programPath('ffprobe') }
    /** `store` is called in the place of what stores the copy. */
    const run = (
      store: Objects['putFile'],
      facts: MediaFacts = {},
      more: Partial<Pick<StepContext, 'ffmpeg' | 'isLastAttempt'>> = {},
    ) => {
      const objects: Objects = Object.create(stored, {
        copy: { value: store },
        putFile: { value: store },
      })
      for (const name of ['remove', 'sizeOf', 'read', 'toolInput'] as const)
        Object.defineProperty(objects, name, { value: stored[name].bind(stored) })
      const context = {
        media: { ...media, etag, ...FACTS, ...facts },
        db: landfall.db,
        objects,
        publicPrefix: ENV.PUBLIC_PREFIX,
        ffmpeg: new Ffmpeg(ffmpegPaths),
        scratch: { root: join(landfall.dataDirectory, 'scratch'), space: opened.disk.space },
        signal: AbortSignal.timeout(60_000),
        ends: new EndLog(QUIET),
        isLastAttempt: false,
        ...more,
      }
      return publish.run(context as unknown as StepContext)
    }
    return { id, boss, job, run, store: stored.putFile.bind(stored) }
  }

  it('is not made of an image that was not stripped of its metadata: never of the original', async () => {
    const landfall = await start({ withoutWorker: true })
    const { id, run } = await held(landfall)
    await landfall.db
      .updateTable('landfall.media')
      .set({ content_type: 'image/jpeg', kind: 'image' })
      .execute()
    let copies = 0
    const result = await run(async () => void copies++, { kind: 'image', content_type: 'image/jpeg' })
    expect(result).toMatchObject({ detail: { skipped: expect.any(String) } })
    expect([copies, await publicKeys(landfall)]).toEqual([0, []])
    expect((await mediaForJob(landfall.db, id))?.status).toBe('ready')
  })

  it('is taken back by its worker when the media is deleted while it is made', async () => {
    const landfall = await start({ withoutWorker: true })
    const { id, run, store } = await held(landfall)
    const result = await run(async (...args) => {
      expect((await remove(landfall, id)).status).toBe(204)
      await store(...args)
      expect(await publicKeys(landfall)).toHaveLength(1)
    })
    expect(result).toMatchObject({ detail: { skipped: expect.any(String) } })
    expect(await publicKeys(landfall)).toEqual([])
  })

  /** On a machine that has too much to do. */
  function slowFfmpeg(): Ffmpeg {
    const ffmpeg = new Ffmpeg({ ffmpegPath: programPath('ffmpeg'), ffprobePath: programPath('ffprobe') })
    ffmpeg.remux = async () => {
      throw new ToolFailed('ffmpeg took too long', 'timed-out')
    }
    return ffmpeg
  }

  it('is tried again when time was short, and only the last attempt gives up', async () => {
    const landfall = await start({ withoutWorker: true })
    const { run, store } = await held(landfall)
    await expect(run(store, {}, { ffmpeg: slowFfmpeg() })).rejects.toThrow('took too long')
    expect(await run(store, {}, { ffmpeg: slowFfmpeg(), isLastAttempt: true })).toEqual({
      detail: { skipped: expect.stringContaining('too long') },
    })
    expect(await publicKeys(landfall)).toEqual([])
    expect(await recorded(landfall)).toEqual([])
  })

  it('stays, once it is there, when time is short for another', async () => {
    const landfall = await start({ withoutWorker: true })
    const { run, store } = await held(landfall)
    const { detail } = await run(store)
    expect(detail).toEqual({ copy: expect.stringContaining(FOLDER) })
    const keys = await publicKeys(landfall)
    expect(keys).toHaveLength(1)
    await expect(run(store, {}, { ffmpeg: slowFfmpeg() })).rejects.toThrow('took too long')
    expect(await run(store, {}, { ffmpeg: slowFfmpeg(), isLastAttempt: true })).toEqual({ detail })
    expect(await publicKeys(landfall)).toEqual(keys)
    expect(await recorded(landfall)).toHaveLength(1)
  })

  it('is not begun when the media was deleted before', async () => {
    const landfall = await start({ withoutWorker: true })
    const { id, run } = await held(landfall)
    expect((await remove(landfall, id)).status).toBe(204)
    let copies = 0
    await run(async () => void copies++)
    expect(copies).toBe(0)
    expect(await recorded(landfall)).toEqual([])
  })

  it('goes also when the worker dies with it made after the removal for it has run', async () => {
    const landfall = await start({ withoutWorker: true })
    const { id, boss, job, run, store } = await held(landfall)
    const removals = async () => (await boss.findJobs(QUEUES.removal)).map(({ state }) => state).sort()
    const killed = run(async (...args) => {
      expect((await remove(landfall, id)).status).toBe(204)
      await start({ beside: landfall })
      // It has found nothing to remove, and comes again, because this job is still worked at.
      await expect.poll(removals, { timeout: 20_000 }).toEqual(['completed', 'created'])
      await store(...args)
      throw new Error('killed')
    })
    await expect(killed).rejects.toThrow('killed')
    expect(await publicKeys(landfall)).toHaveLength(1)
    await boss.fail(QUEUES.processing, job.id)
    await expect.poll(() => publicKeys(landfall), { timeout: 30_000 }).toEqual([])
    await expect.poll(() => recorded(landfall), { timeout: 30_000 }).toEqual([])
  })

  it('goes with a media that fails in the end', async () => {
    const landfall = await start({ withoutWorker: true })
    const { id, boss, job, run, store } = await held(landfall)
    const broken = run(async (...args) => {
      await store(...args)
      throw new Error('the database is away')
    })
    await expect(broken).rejects.toThrow('away')
    await boss.complete(QUEUES.processing, job.id)
    const reason = { code: 'processing-failed', detail: 'Every attempt failed.' }
    await failMedia(landfall.db, id, reason, removalEnqueuer(boss))
    await start({ beside: landfall })
    await expect.poll(() => publicKeys(landfall), { timeout: 20_000 }).toEqual([])
  })

  it('is made where it was begun, when its prefix was changed between two attempts', async () => {
    const landfall = await start({ withoutWorker: true })
    const { boss, job, run } = await held(landfall)
    await expect(
      run(async () => {
        throw new Error('killed')
      }),
    ).rejects.toThrow('killed')
    await boss.complete(QUEUES.processing, job.id)
    await boss.send(QUEUES.processing, job.data as object)
    await start({ beside: landfall, env: { PUBLIC_PREFIX: 'elsewhere/' } })
    await expect.poll(() => publicKeys(landfall), { timeout: 20_000 }).toHaveLength(1)
  })
})

const ceph = requires('ceph')

describe.skipIf(!ceph.met)('the headers of a public copy in a bucket', () => {
  it('are those of what was identified, whatever the client said', async () => {
    const bucket = await freshBucket()
    const landfall = await startLandfall({ env: { ...ENV, ...bucket.env(), SCAN: 'off' } })
    try {
      const file = { ...(await jpeg({ width: 640, height: 480 })), contentType: '' }
      const { id } = await process(landfall, 'alice', file)
      const head = await bucket.client.send(
        new HeadObjectCommand({ Bucket: bucket.name, Key: `${FOLDER}${id}.jpg` }),
      )
      expect(head).toMatchObject({ ContentType: 'image/jpeg', ContentDisposition: 'inline' })
    } finally {
      await landfall.close()
      await bucket.close()
    }
  })
})
