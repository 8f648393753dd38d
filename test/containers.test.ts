import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { shortVideo, turned } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { process } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')

describe.skipIf(!ffmpeg.met || !clamd.met)('a video', () => {
  let landfall: Landfall
  let directory: string

  beforeAll(async () => {
    landfall = await startLandfall()
    directory = await mkdtemp(join(tmpdir(), 'landfall-containers-'))
  })
  afterAll(async () => {
    await landfall?.close()
    await rm(directory, { recursive: true, force: true })
  })

  it.each([
    ['mp4', 'video/mp4', 'h264', 'aac'],
    ['mov', 'video/quicktime', 'h264', 'aac'],
    ['webm', 'video/webm', 'vp8', 'opus'],
    ['mkv', 'video/x-matroska', 'h264', 'aac'],
    ['avi', 'video/x-msvideo', 'mpeg4', 'mp3'],
  ] as const)('in %s becomes ready as %s with %s and %s', async (container, type, videoCodec, audioCodec) => {
    const file = await shortVideo({ container })
    const media = await process(landfall, 'alice', file)
    expect(media).toMatchObject({
      status: 'ready',
      kind: 'video',
      contentType: type,
      width: 640,
      height: 360,
      fps: 25,
      videoCodec,
      audioCodec,
      hasAudio: true,
      quality: '360p',
      size: file.size,
      sha256: file.sha256,
    })
    expect(media.durationSeconds).toBeCloseTo(2, 0)
    expect(await thumbnailOf(media.thumbnailUrl)).toMatchObject({ format: 'webp', width: 640, height: 360 })
  })

  it('without sound says so', async () => {
    const media = await process(landfall, 'alice', await shortVideo({ audio: false }))
    expect(media).toMatchObject({ status: 'ready', hasAudio: false, audioCodec: null, videoCodec: 'h264' })
  })

  it('that is turned by a quarter has width and height as shown, and so has its thumbnail', async () => {
    const flat = await shortVideo()
    const path = join(directory, 'upright.mp4')
    await writeFile(path, turned(await readFile(flat.path)))
    const media = await process(landfall, 'alice', { path, name: 'upright.mp4', contentType: 'video/mp4' })
    expect(media).toMatchObject({ status: 'ready', width: 360, height: 640 })
    expect(await thumbnailOf(media.thumbnailUrl)).toMatchObject({ width: 360, height: 640 })
  })

  async function thumbnailOf(url: string) {
    const response = await fetch(new URL(url, landfall.url))
    return await sharp(await response.arrayBuffer()).metadata()
  }
})
