import { afterAll, beforeAll, expect, it } from 'vitest'
import { FORMATS } from '../content/formats.ts'
import { EndLog } from '../ledger/end-log.ts'
import type { MediaId } from '../ledger/ids.ts'
import { processMedia } from '../processing/pipeline.ts'
import { ResourceLimits } from '../processing/step/resource-limits.ts'
import { Converters } from '../processing/tools/converters.ts'
import { Ffmpeg } from '../processing/tools/ffmpeg.ts'
import { parseConfig } from '../server/config.ts'
import { storageOptionsOf } from '../server/storage-options.ts'
import { openStorage } from '../storage/storage.ts'
import { SYSTEM_PATH } from '../system/system-path.ts'
import { noSandbox } from '../system/tool-sandbox.ts'
import { type Fixture, jpeg, shortVideo } from './fixtures/media.ts'
import { programPath, requires } from './services/requirements.ts'
import { asUploadId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { raceAfter } from './support/pauses.ts'
import { describeStorages } from './support/storages.ts'
import { sendFile } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')

/** How far the second worker is behind the first, so that it meets it at different steps. */
const DELAYS_MS = [0, 10, 20, 40, 80, 120]

// A worker whose heartbeat stops, because its machine slept or the database was away, comes back to a
// job that the queue has given to another.
describeStorages.skipIf(!ffmpeg.met)('a file that two workers process at the same time', (storage) => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ storage, withoutWorker: true, env: { SCAN: 'off' } })
  })
  afterAll(() => landfall?.close())

  it.each([
    ['a jpeg', () => jpeg({ width: 1600, height: 900 })],
    ['a video', () => shortVideo()],
  ])('is ready once and keeps its renditions: %s', async (_name, make) => {
    const file = await make()
    for (const delayMs of DELAYS_MS) {
      const media = await received(landfall, file)
      const failures = await processTwice(landfall, media.id, delayMs)
      expect(failures, `${delayMs} ms apart`).toEqual([])
      const { status, events, renditions } = await left(landfall, media.id)
      expect({ status, events }).toEqual({ status: 'ready', events: ['upload.received', 'media.ready'] })
      expect(renditions.storedBytes, `${delayMs} ms apart`).toEqual(renditions.recordedBytes)
      expect(renditions.storedBytes).toHaveProperty('thumbnail')
    }
  })
})

async function received({ db, ...landfall }: Landfall, file: Fixture): Promise<{ id: MediaId }> {
  const { uploadId } = await sendFile({ ...landfall }, 'alice', file)
  const row = await db
    .selectFrom('landfall.media')
    .select('id')
    .where('upload_id', '=', asUploadId(uploadId))
    .executeTakeFirstOrThrow()
  return { id: row.id as MediaId }
}

async function processTwice(
  { db, dataDirectory, storageEnv }: Landfall,
  id: MediaId,
  delayMs: number,
): Promise<unknown[]> {
  const config = parseConfig({ DATA_DIR: dataDirectory, ...storageEnv }, { auth: false })
  const storage = await openStorage(storageOptionsOf(config), db)
  const tools = {
    db,
    storage,
    ffmpeg: new Ffmpeg({ ffmpegPath: programPath('ffmpeg'), ffprobePath: programPath('ffprobe') }),
    converters: new Converters(noSandbox(SYSTEM_PATH)),
    scanner: undefined,
    accepted: { formats: FORMATS, others: [] },
    limits: {
      maxDurationSeconds: 60,
      minWidth: 1,
      minHeight: 1,
      maxWidth: 4096,
      maxHeight: 4096,
      maxImagePixels: 100_000_000,
    },
    deepCheck: 'quick' as const,
    scanOversize: 'reject' as const,
    dedup: 'off' as const,
    publicPrefix: undefined,
    thumbnails: { atSeconds: 1, widths: [640, 320] },
    hls: undefined,
    hooks: undefined,
    analysis: undefined,
    scratch: { root: dataDirectory, space: storage.disk.space },
    notifyListeners: () => {},
    enqueueProcessing: async () => {},
    ends: new EndLog({ info() {}, warn() {}, error() {} }),
  }
  const resourceLimits = new ResourceLimits({ scan: 4, decode: 4 })
  const nothing = async () => {}
  const options = { tools, resourceLimits, onStep: () => {}, enqueueRemoval: nothing, handOver: nothing }
  const run = () => processMedia(options, { id, kind: 'processing', signal: AbortSignal.timeout(60_000) })
  const second = raceAfter(delayMs).then(run)
  const results = await Promise.allSettled([run(), second])
  storage.close()
  return results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
}

async function left({ db, stored }: Landfall, id: MediaId) {
  const media = await db
    .selectFrom('landfall.media')
    .select('status')
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
  const events = await db
    .selectFrom('landfall.events')
    .select('type')
    .where('media_id', '=', id)
    .orderBy('id')
    .execute()
  const rows = await db.selectFrom('landfall.renditions').selectAll().where('media_id', '=', id).execute()
  const storedBytes = await Promise.all(
    rows.map(async ({ kind, storage_key }) => [kind, (await stored.bytes(storage_key)).length] as const),
  )
  return {
    status: media.status,
    events: events.map(({ type }) => type),
    renditions: {
      recordedBytes: Object.fromEntries(rows.map(({ kind, size }) => [kind, size])),
      storedBytes: Object.fromEntries(storedBytes),
    },
  }
}
