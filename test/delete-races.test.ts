import type { PgBoss } from 'pg-boss'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openQueues, removalEnqueuer } from '../jobs/queues.ts'
import { parseMediaId } from '../ledger/ids.ts'
import { publishMedia, rejectMedia } from '../ledger/media.ts'
import { onceEvent, readEvents, type StreamEvent } from './support/event-reader.ts'
import { asUploadId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { raceAfter } from './support/pauses.ts'
import { countedUsage, impliedUsage } from './support/quota.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { describeStorages } from './support/storages.ts'
import { create, idOf, terminate } from './support/tus.ts'

/** The ledger decides these races; a bucket only changes how long one side takes. */
const ROUNDS = { disk: 100, s3: 25 }
/** Races that run beside each other, as many as there are connections for both sides. */
const AT_A_TIME = 5
const BYTES = asJpeg(Buffer.alloc(2000, 'x'))
const REASON = { code: 'damaged', detail: 'The file is damaged or incomplete.' }

type MediaId = Parameters<typeof publishMedia>[1]
type Race = { uploadId: string; mediaId: MediaId }

describeStorages('the deletion of a received upload', (storage) => {
  let landfall: Landfall
  let boss: PgBoss

  beforeEach(async () => {
    landfall = await startLandfall({ storage, withoutWorker: true, env: { UPLOAD_MAX_OPEN: '1000' } })
    boss = await openQueues({ db: landfall.db, supervise: false, onError: () => {} })
  })
  afterEach(async () => {
    await boss?.stop({ close: false, graceful: false })
    await landfall?.close()
  })

  async function received(): Promise<Race> {
    const uploadId = idOf(await create(landfall, 'alice', { size: BYTES.length, body: BYTES }))
    const { media_id } = await landfall.db
      .selectFrom('landfall.uploads')
      .select('media_id')
      .where('id', '=', uploadId)
      .executeTakeFirstOrThrow()
    const mediaId = parseMediaId(media_id ?? '')
    if (!mediaId) throw new Error('the upload was not received')
    return { uploadId, mediaId }
  }

  const reject = ({ mediaId }: Race) => rejectMedia(landfall.db, mediaId, REASON, removalEnqueuer(boss))
  const publish = ({ mediaId }: Race) => publishMedia(landfall.db, mediaId)
  const deleteMedia = async ({ mediaId }: Race) => {
    const { status } = await landfall.as('alice')(`/api/v1/media/${mediaId}`, { method: 'DELETE' })
    if (status !== 204 && status !== 404) throw new Error(`the deletion answered ${status}`)
    return status === 204
  }

  const rivals: [name: string, act: (race: Race) => Promise<boolean>, outcomes: string[]][] = [
    [
      'its rejection',
      reject,
      [
        '204 upload.terminated media.deleted',
        '410 media.rejected upload.rejected',
        // Between the look at the upload and its end: as with any request that another one overtook.
        '423 media.rejected upload.rejected',
      ],
    ],
    [
      'its publication',
      publish,
      ['204 upload.terminated media.deleted', '204 media.ready upload.terminated media.deleted'],
    ],
    [
      'the deletion of its media',
      deleteMedia,
      ['204 upload.terminated media.deleted', '204 media.deleted upload.terminated'],
    ],
  ]

  it.each(rivals)(
    'races %s: one comes first, nothing fails, the quota is exact',
    async (_name, act, outcomes) => {
      const race = async (lateMs: number) => {
        const target = await received()
        const [answer] = await Promise.all([
          terminate(landfall, 'alice', target.uploadId),
          raceAfter(lateMs).then(() => act(target)),
        ])
        const types = await eventsAfterReceipt(landfall, target.uploadId)
        expect(outcomes).toContain([answer.status, ...types].join(' '))
      }
      for (let round = 0; round < ROUNDS[storage]; round += AT_A_TIME) {
        // A deletion takes some milliseconds: the other comes now before it, now in the middle, now after.
        await Promise.all(
          Array.from({ length: AT_A_TIME }, (_, index) => race((round / AT_A_TIME + index) % 12)),
        )
      }
      expect(await countedUsage(landfall.db, ['alice'])).toEqual(await impliedUsage(landfall.db, ['alice']))
    },
  )

  it('is told whole to those who listen: the upload’s end and its media’s, and then the stream ends', async () => {
    const { uploadId, mediaId } = await received()
    const events: StreamEvent[] = []
    let deleting: Promise<Response> | undefined
    for await (const event of readEvents(landfall, 'alice', uploadId)) {
      events.push(event)
      if (event.data.type === 'upload.received') deleting = terminate(landfall, 'alice', uploadId)
    }
    expect((await deleting)?.status).toBe(204)
    const states = events.filter(({ event }) => event === 'state').map(({ data }) => data)
    expect(states.map(({ type }) => type)).toEqual([
      'upload.created',
      'upload.received',
      'upload.terminated',
      'media.deleted',
    ])
    expect(states.slice(2).map((state) => state.mediaId)).toEqual([mediaId, mediaId])
  })

  it('leaves a media that was deleted already as it was, and does not tell of it twice', async () => {
    const target = await received()
    expect(await deleteMedia(target)).toBe(true)
    const deletedAt = await deletionOf(landfall, target)
    expect((await terminate(landfall, 'alice', target.uploadId)).status).toBe(204)
    expect(await eventsAfterReceipt(landfall, target.uploadId)).toEqual([
      'media.deleted',
      'upload.terminated',
    ])
    expect(await deletionOf(landfall, target)).toEqual(deletedAt)
    await onceEvent(landfall, 'alice', target.uploadId, ({ data }) => data.type === 'upload.terminated')
  })
})

async function eventsAfterReceipt({ db }: Landfall, uploadId: string): Promise<string[]> {
  const rows = await db
    .selectFrom('landfall.events')
    .select('type')
    .where('upload_id', '=', asUploadId(uploadId))
    .orderBy('id')
    .execute()
  return rows.slice(2).map(({ type }) => type)
}

async function deletionOf({ db }: Landfall, { mediaId }: Race) {
  return await db
    .selectFrom('landfall.media')
    .select(['status', 'deleted_at'])
    .where('id', '=', mediaId)
    .execute()
}
