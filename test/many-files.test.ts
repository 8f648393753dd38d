import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { jpeg, video60s1080p } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { sendFile } from './support/uploads.ts'

const LONG = 4
const SHORT = 196

// How long they take, and what they do to uploads meanwhile, is for `npm run bench:processing`.
describe.skipIf(!requires('ffmpeg').met)('two hundred files for two slots', () => {
  const env = { SCAN: 'off', UPLOAD_MAX_OPEN: '1000', WORKER_CONCURRENCY: '2' }
  let landfall: Landfall
  let worker: Landfall | undefined

  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true, env })
  })
  afterAll(async () => {
    await worker?.close()
    await landfall.close()
  })

  it('are all processed in turn: short ones do not wait for long ones of their owner before them', async () => {
    const [video, picture] = await Promise.all([video60s1080p(), jpeg({ width: 320, height: 240 })])
    const send = (file: typeof video, count: number) =>
      Promise.all(Array.from({ length: count }, () => sendFile(landfall, 'alice', file)))
    await send(video, LONG)
    await send(picture, SHORT)
    expect(await countOf('processing')).toBe(LONG + SHORT)

    worker = await startLandfall({ beside: landfall, env })
    await expect.poll(() => countOf('ready'), { timeout: 240_000, interval: 200 }).toBe(LONG + SHORT)

    const begun = await landfall.db
      .selectFrom('landfall.media as media')
      .innerJoin('landfall.processing_steps as processing_steps', 'processing_steps.media_id', 'media.id')
      .select('media.content_type')
      .where('step', '=', 'assemble')
      .orderBy('started_at')
      .execute()
    expect(begun).toHaveLength(LONG + SHORT)
    const isLong = begun.map(({ content_type }) => content_type === 'video/mp4')
    // A long one costs as much as a dozen of the short ones, which have a line of their own before it.
    expect(isLong.indexOf(true)).toBeGreaterThan(8)
    // And no short ones that come all the time keep it for ever.
    expect(isLong.lastIndexOf(true)).toBeLessThan(SHORT - LONG)
    expect(isLong.filter(Boolean)).toHaveLength(LONG)
  }, 300_000)

  async function countOf(status: 'ready' | 'processing'): Promise<number> {
    const { n } = await landfall.db
      .selectFrom('landfall.media')
      .select((is) => is.fn.countAll<string>().as('n'))
      .where('status', '=', status)
      .executeTakeFirstOrThrow()
    return Number(n)
  }
})
