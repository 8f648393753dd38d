import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Fixture, madeByFfmpeg, video60s1080p } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { type S3Landfall, startS3Landfall } from './support/s3-landfall.ts'
import { process } from './support/uploads.ts'

const ceph = requires('ceph')
const clamd = requires('clamd')
const ffmpeg = requires('ffmpeg')

const music = () =>
  madeByFfmpeg('music.mp3', [
    ...['-f', 'lavfi', '-i', 'anoisesrc=color=pink:duration=120', '-c:a', 'libmp3lame', '-b:a', '192k'],
  ])

// The scanner reads all of a file before any decoder may open it; what it reads is kept for the tools.
describe.skipIf(!ceph.met || !clamd.met || !ffmpeg.met)('the bytes of a file', () => {
  let landfall: S3Landfall
  beforeAll(async () => {
    landfall = await startS3Landfall()
  })
  afterAll(() => landfall?.close())

  it.each<[string, () => Promise<Fixture>, number]>([
    ['a minute of video', video60s1080p, 1.5],
    ['two minutes of sound', music, 1.5],
  ])('of %s leave the bucket once', async (what, make, most) => {
    const file = await make()
    landfall.proxy.reset()
    const media = await process(landfall, 'alice', file)
    expect(media.status).toBe('ready')
    const { storage_key: key } = await landfall.db
      .selectFrom('landfall.media')
      .select('storage_key')
      .where('id', '=', media.id as never)
      .executeTakeFirstOrThrow()
    const reads = landfall.proxy.calls.filter((call) => call.operation === 'GetObject' && call.key === key)
    const times = reads.reduce((sum, { bytesOut }) => sum + bytesOut, 0) / file.size
    console.log(`${what}: read ${times.toFixed(2)} times, by ${reads.length} requests`)
    expect(times).toBeLessThan(most)
  })
})
