import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { jpeg, video60s1080p } from './fixtures/media.ts'
import { startClamd, type TestClamd } from './services/clamd.ts'
import { requires } from './services/requirements.ts'
import { openClamdValve } from './support/clamd-valve.ts'
import { onceEvent } from './support/event-reader.ts'
import { asMediaId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { statusOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { type MediaJson, outcome, sendFile } from './support/uploads.ts'
import { untilWaiting } from './support/waits.ts'

const ffmpeg = requires('ffmpeg')
const clamdMet = requires('clamd')

describeStorages.skipIf(!ffmpeg.met || !clamdMet.met)('without its scanner', (storage) => {
  let directory: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-outage-'))
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  it('a file waits unserved while clamd is down, and becomes ready by itself when it is back', async () => {
    await using clamd = disposable(await startClamd(join(directory, 'down'), { isDown: true }))
    await using landfall = closing(await startLandfall({ storage, env: { CLAMD_URL: clamd.it.url } }))
    const alice = landfall.it.as('alice')

    const down = await alice('/readyz')
    // Uploads need no scanner, and another server would have none either.
    expect(down.status).toBe(200)
    expect(await down.json()).toMatchObject({
      status: 'degraded',
      checks: { scanner: { status: 'failing' }, database: { status: 'ok' }, storage: { status: 'ok' } },
    })

    const { uploadId } = await sendFile(landfall.it, 'alice', await jpeg({ width: 1600, height: 900 }))
    await scanFailed(landfall.it, uploadId)
    const media = await mediaOf(landfall.it, uploadId)
    expect(media).toMatchObject({ status: 'processing', contentUrl: null, thumbnailUrl: null })
    for (const what of ['content', 'thumbnail']) {
      const refusal = await alice(`/api/v1/media/${media.id}/${what}`)
      expect(refusal.status).toBe(409)
      expect(await refusal.json()).toMatchObject({ code: 'not-ready' })
    }

    await clamd.it.start()
    expect(await outcome(landfall.it, 'alice', uploadId)).toMatchObject({ status: 'ready' })
    await expect
      .poll(async () => await (await alice('/readyz')).json(), { timeout: 10_000 })
      .toMatchObject({ status: 'ready' })
    expect((await alice(`/api/v1/media/${media.id}/content`)).status).toBe(200)
  })

  it('a file whose scan is cut by the death of clamd is scanned again, and is not ready before', async () => {
    await using clamd = disposable(await startClamd(join(directory, 'killed')))
    await using valve = await openClamdValve(clamd.it.url, 8 * 1024 * 1024)
    await using landfall = closing(await startLandfall({ storage, env: { CLAMD_URL: valve.url } }))

    const { uploadId } = await sendFile(landfall.it, 'alice', await video60s1080p())
    await valve.inTheMiddle
    await clamd.it.stop()
    valve.letThrough()
    await scanFailed(landfall.it, uploadId)
    expect(await mediaOf(landfall.it, uploadId)).toMatchObject({ status: 'processing', contentUrl: null })

    await clamd.it.start()
    const media = await outcome(landfall.it, 'alice', uploadId)
    expect(media.status).toBe('ready')
    const scans = await scanAttempts(landfall.it, media.id)
    // A wait is no attempt, and the ledger does not grow by it.
    expect(scans).toMatchObject([{ status: 'done', detail: { scanned: true } }])
    const events = await landfall.it.db.selectFrom('landfall.events').select('type').orderBy('id').execute()
    expect(events.map(({ type }) => type)).toEqual(['upload.created', 'upload.received', 'media.ready'])
  })
})

async function mediaOf(landfall: Landfall, uploadId: string): Promise<MediaJson> {
  const { mediaId } = await statusOf(landfall, 'alice', uploadId)
  return (await (await landfall.as('alice')(`/api/v1/media/${mediaId}`)).json()) as MediaJson
}

/** Waits until the worker has tried to scan and could not. */
async function scanFailed(landfall: Landfall, uploadId: string): Promise<void> {
  await onceEvent(landfall, 'alice', uploadId, ({ data }) => data.type === 'upload.received')
  const { mediaId } = await statusOf(landfall, 'alice', uploadId)
  await untilWaiting(landfall, mediaId)
}

async function scanAttempts(landfall: Landfall, mediaId: string) {
  return await landfall.db
    .selectFrom('landfall.processing_steps')
    .select(['status', 'detail'])
    .where('media_id', '=', asMediaId(mediaId))
    .where('step', '=', 'scan')
    .orderBy('attempt')
    .execute()
}

const disposable = (clamd: TestClamd) => ({ it: clamd, [Symbol.asyncDispose]: () => clamd.stop() })
const closing = (landfall: Landfall) => ({ it: landfall, [Symbol.asyncDispose]: () => landfall.close() })
