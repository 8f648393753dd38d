import sharp from 'sharp'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { video60s1080p } from '../fixtures/media.ts'
import { requires } from '../services/requirements.ts'
import { type Landfall, startLandfall } from '../support/landfall.ts'
import { describeStorages } from '../support/storages.ts'
import { outcome, sendFile } from '../support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')

const TRIES = 7

describeStorages.skipIf(!ffmpeg.met || !clamd.met)('a minute of 1080p', (storage) => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ storage })
  })
  afterAll(() => landfall?.close())

  it('is ready within 5 s of its last byte, with its facts right', async () => {
    const file = await video60s1080p()
    const timed = async () => {
      const { uploadId, lastByteAt } = await sendFile(landfall, 'alice', file)
      const media = await outcome(landfall, 'alice', uploadId)
      const seconds = (performance.now() - lastByteAt) / 1000
      const megabytes = (file.size / 1e6).toFixed(0)
      console.log(
        `60 s 1080p (${megabytes} MB, ${storage}) ready ${seconds.toFixed(2)} s after its last byte`,
      )
      return { media, seconds }
    }
    let { media, seconds } = await timed()
    // The machine may be shared with others, and the first finds nothing in any cache.
    for (let tries = 1; seconds >= 5 && tries < TRIES; tries++) ({ media, seconds } = await timed())
    expect(media).toMatchObject({
      status: 'ready',
      contentType: 'video/mp4',
      kind: 'video',
      size: file.size,
      sha256: file.sha256,
      width: 1920,
      height: 1080,
      fps: 30,
      videoCodec: 'h264',
      audioCodec: 'aac',
      hasAudio: true,
      quality: '1080p',
    })
    expect(media.durationSeconds).toBeCloseTo(60, 1)
    expect(seconds).toBeLessThan(5)

    const thumbnail = await fetch(new URL(media.thumbnailUrl, landfall.url))
    expect(thumbnail.headers.get('Content-Type')).toBe('image/webp')
    const picture = await sharp(await thumbnail.arrayBuffer()).metadata()
    expect(picture).toMatchObject({ format: 'webp', width: 640, height: 360 })
  }, 240_000)
})
