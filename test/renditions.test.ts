import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import sharp, { type OutputInfo } from 'sharp'
import { thumbHashToAverageRGBA } from 'thumbhash'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openQueues, QUEUES } from '../jobs/queues.ts'
import { reap } from '../jobs/upkeep/reaper.ts'
import { STEPS } from '../processing/pipeline.ts'
import { RENDITIONS } from '../storage/store/keys.ts'
import { jpeg, shortVideo, turned, video60s1080p } from './fixtures/media.ts'
import { programPath, requires } from './services/requirements.ts'
import { asMediaId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { QUIET } from './support/quiet.ts'
import { describeStorages } from './support/storages.ts'
import { type MediaJson, outcome, type SourceFile, sendFile } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')

type Media = MediaJson & {
  thumbhash: string | null
  storyboardUrl: string | null
  waveformUrl: string | null
  cdnUrl: string | null
}
type Cue = { from: number; to: number; picture: string; x: number; y: number; width: number; height: number }
type Sheet = { data: Buffer; info: OutputInfo }

const ENV = {
  SCAN: 'off',
  DEEP_CHECK: 'off',
  UPLOAD_MIN_SIZE: '1B',
  MEDIA_MIN_WIDTH: '16',
  MEDIA_MIN_HEIGHT: '16',
  MEDIA_MAX_DURATION: '3h',
  MEDIA_RETENTION: '1s',
  PUBLISH: 'copy',
}
const X264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p']
const WEBP = { format: 'webp' }
const JPEG = { format: 'jpeg' }

describeStorages.skipIf(!ffmpeg.met)('a rendition', (storage) => {
  let directory: string
  let landfall: Landfall

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-renditions-'))
    landfall = await startLandfall({ storage, env: ENV })
  })
  afterAll(async () => {
    await landfall?.close()
    await rm(directory, { recursive: true, force: true })
  })

  const get = (path: string, headers: Record<string, string> = {}) => landfall.as('alice')(path, { headers })
  const metadataOf = async (response: Response) => await sharp(await response.arrayBuffer()).metadata()

  async function made(name: string, ...args: string[]): Promise<SourceFile> {
    const path = join(directory, name)
    await execa(programPath('ffmpeg'), ['-nostdin', '-v', 'error', '-y', ...args, path])
    return { path, name, contentType: TYPES[name.split('.').at(-1) ?? ''] ?? 'video/mp4' }
  }
  async function ready(file: SourceFile): Promise<Media> {
    const { uploadId } = await sendFile(landfall, 'alice', file)
    const media = (await outcome(landfall, 'alice', uploadId)) as Media
    expect(media).toMatchObject({ status: 'ready', reason: null })
    return media
  }
  async function detailOf(media: Media, step: string) {
    const row = await landfall.db
      .selectFrom('landfall.processing_steps')
      .select(['detail', 'started_at', 'finished_at'])
      .where('media_id', '=', asMediaId(media.id))
      .where('step', '=', step)
      .executeTakeFirstOrThrow()
    return { ...row.detail, ms: Number(row.finished_at) - Number(row.started_at) } as Record<string, unknown>
  }
  async function storyboardOf(media: Media): Promise<{ cues: Cue[]; sheet: Sheet }> {
    const link = new URL(media.storyboardUrl ?? '', landfall.url)
    const response = await fetch(link)
    expect(response.headers.get('Content-Type')).toBe('text/vtt; charset=utf-8')
    const cues = cuesIn(await response.text())
    // As a player does it: without a token, from where the cues are.
    const picture = await fetch(new URL(cues[0]?.picture ?? '', link))
    expect([picture.status, picture.headers.get('Content-Type')]).toEqual([200, 'image/jpeg'])
    const sheet = await sharp(await picture.arrayBuffer())
      .raw()
      .toBuffer({ resolveWithObject: true })
    for (const { x, y, width, height } of cues) {
      expect(x + width).toBeLessThanOrEqual(sheet.info.width)
      expect(y + height).toBeLessThanOrEqual(sheet.info.height)
    }
    return { cues, sheet }
  }

  it('of a picture comes in the width and the format that is asked for', async () => {
    const { id, thumbnailUrl } = await ready(await jpeg({ width: 1600, height: 900 }))
    const path = `/api/v1/media/${id}/thumbnail`
    const asked: [query: string, accept: string, expected: object][] = [
      ['', '*/*', { ...WEBP, width: 640, height: 360 }],
      ['', 'image/avif,image/webp,image/*;q=0.8', WEBP],
      ['', 'image/jpeg', JPEG],
      ['', 'image/png', WEBP],
      ['?format=jpeg', 'image/webp', { ...JPEG, width: 640 }],
      ['?width=1', '*/*', { ...WEBP, width: 320, height: 180 }],
      ['?width=400&format=jpeg', '*/*', { ...JPEG, width: 320 }],
      ['?width=5000', 'image/jpeg', { ...JPEG, width: 640 }],
    ]
    for (const [query, Accept, expected] of asked) {
      const response = await get(path + query, { Accept })
      expect(response.headers.get('Vary')).toContain('Accept')
      expect(await metadataOf(response), `${query} ${Accept}`).toMatchObject(expected)
    }
    const link = await fetch(new URL(`${thumbnailUrl}&width=320&format=jpeg`, landfall.url))
    expect(await metadataOf(link)).toMatchObject({ ...JPEG, width: 320 })
    for (const query of ['?format=gif', '?width=0', '?width=a'])
      expect((await get(path + query)).status, query).toBe(400)
  })

  it('of a small picture is not enlarged, nor made twice', async () => {
    const media = await ready(await jpeg({ width: 100, height: 100 }))
    expect(await metadataOf(await get(`/api/v1/media/${media.id}/thumbnail`))).toMatchObject({ width: 100 })
    expect(await keysOf(media)).toEqual(['image', 'thumbnail.jpg', 'thumbnail.webp'])
  })

  async function keysOf(media: Media): Promise<string[]> {
    const room = `renditions/${media.id}/`
    return (await landfall.stored.keys())
      .filter((key) => key.startsWith(room))
      .map((key) => key.slice(room.length))
  }

  it('has a placeholder of about its colour, of colour, grey and transparency', async () => {
    const picture = async (name: string, color: { r: number; g: number; b: number; alpha?: number }) => {
      const path = join(directory, name)
      const channels = color.alpha === undefined ? 3 : 4
      const image = sharp({ create: { width: 300, height: 200, channels, background: color } })
      await (name.startsWith('grey') ? image.toColourspace('b-w') : image).png().toFile(path)
      return await ready({ path, name, contentType: 'image/png' })
    }
    const averageOf = ({ thumbhash }: Media) => thumbHashToAverageRGBA(Buffer.from(thumbhash ?? '', 'base64'))
    const close = (value: number) => expect.closeTo(value, 1)
    const orange = await picture('orange.png', { r: 230, g: 120, b: 20 })
    expect(averageOf(orange)).toEqual({ r: close(0.9), g: close(0.47), b: close(0.08), a: 1 })
    const grey = await picture('grey.png', { r: 128, g: 128, b: 128 })
    expect(averageOf(grey)).toEqual({ r: close(0.5), g: close(0.5), b: close(0.5), a: 1 })
    const clear = await picture('clear.png', { r: 0, g: 0, b: 255, alpha: 0.5 })
    expect(averageOf(clear)).toMatchObject({ b: close(1), a: close(0.5) })
    const video = await made('green.mp4', '-f', 'lavfi', '-i', 'color=c=0x00c000:s=320x240:d=1', ...X264)
    expect(averageOf(await ready(video))).toEqual({ r: close(0), g: close(0.75), b: close(0), a: 1 })
  })

  it('shows a video at the chosen moment', async () => {
    const shades = await made('shades.mp4', '-f', 'lavfi', '-i', SHADES, ...X264)
    const media = await ready(shades)
    const picture = await sharp(await (await get(`/api/v1/media/${media.id}/thumbnail`)).arrayBuffer())
    // The shade of the second second.
    expect((await picture.stats()).channels[0]?.mean).toBeCloseTo(shadeOf(1), -1)
  })

  it('has a tile for each time of a video, and says where', async () => {
    const media = await ready(await made('shades.mp4', '-f', 'lavfi', '-i', SHADES, ...X264))
    const { cues, sheet } = await storyboardOf(media)
    expect(cues.map(({ from }) => from)).toEqual(Array.from({ length: 20 }, (_, n) => n))
    expect(cues.map(({ to }) => to)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1))
    expect(sheet.info).toMatchObject({ width: 1600, height: 240 })
    for (const [n, cue] of cues.entries())
      expect(shadeIn(sheet, cue), `tile ${n}`).toBeCloseTo(shadeOf(n), -1)
  })

  it('is made of key frames only where that saves much, and all steps take little time', async () => {
    const media = await ready(await video60s1080p())
    const { cues, sheet } = await storyboardOf(media)
    expect(cues).toHaveLength(30)
    expect(sheet.info).toMatchObject({ width: 1600, height: 270 })
    expect(await detailOf(media, 'storyboard')).toMatchObject({ way: 'key-frames' })
  })

  it('shows a video that has only one key frame all the same', async () => {
    const source = ['-f', 'lavfi', '-i', 'testsrc2=s=1920x1080:r=25:d=12']
    const media = await ready(
      await made('one-key.mp4', ...source, ...X264, '-g', '9999', '-sc_threshold', '0'),
    )
    const { cues, sheet } = await storyboardOf(media)
    expect(await detailOf(media, 'storyboard')).toMatchObject({ way: 'all' })
    expect(new Set(cues.map((cue) => tileOf(sheet, cue).toString('base64'))).size).toBe(12)
  })

  it('is made of odd sizes, of one frame, and of a picture that ends before its sound', async () => {
    const crop = ['-vf', 'format=yuv444p,crop=321:241:exact=1']
    const odd = await made(
      'odd.mp4',
      ...['-f', 'lavfi', '-i', 'testsrc2=s=400x300:r=25:d=3', ...crop, '-c:v', 'libx264'],
    )
    const oddMedia = await ready(odd)
    expect((await storyboardOf(oddMedia)).cues).toHaveLength(3)
    expect(await metadataOf(await get(`/api/v1/media/${oddMedia.id}/thumbnail`))).toMatchObject({
      width: 321,
    })

    const one = ['-f', 'lavfi', '-i', 'testsrc2=s=640x360:r=25:d=0.04']
    expect((await storyboardOf(await ready(await made('one.mp4', ...one, ...X264)))).cues).toHaveLength(1)

    const sound = ['-f', 'lavfi', '-i', 'sine=d=10', '-c:a', 'aac']
    const { cues, sheet } = await storyboardOf(
      await ready(await made('short.mp4', ...one, ...sound, ...X264)),
    )
    const tiles = cues.map((cue) => tileOf(sheet, cue))
    expect(tiles).toHaveLength(10)
    expect(average(tiles.at(-1))).toBeCloseTo(average(tiles[0]), -1)
  })

  it('stands upright when the video does, and when it is turned', async () => {
    const upright = await ready(await shortVideo({ width: 360, height: 640 }))
    const path = join(directory, 'turned.mp4')
    await writeFile(path, turned(await readFile((await shortVideo()).path)))
    const rotated = await ready({ path, name: 'turned.mp4', contentType: 'video/mp4' })
    for (const media of [upright, rotated]) {
      const { cues } = await storyboardOf(media)
      expect(cues[0]).toMatchObject({ width: 160, height: 284 })
      const { width, height } = await metadataOf(await get(`/api/v1/media/${media.id}/thumbnail?width=320`))
      expect([width, height]).toEqual([320, expect.closeTo(569, -1)])
    }
  })

  it('of two hours of black is made in bounded time', async () => {
    const black = ['-f', 'lavfi', '-i', 'color=c=black:s=320x240:r=1:d=7200']
    const media = await ready(await made('black.mp4', ...black, ...X264))
    const { cues } = await storyboardOf(media)
    expect(cues).toHaveLength(100)
    expect(cues.at(-1)).toMatchObject({ from: 7128, to: 7200 })
    expect((await detailOf(media, 'storyboard')).ms).toBeLessThan(10_000)
  })

  it('of two hours of high definition is sought tile by tile', async () => {
    const clip = await made('clip.mp4', '-f', 'lavfi', '-i', 'color=c=red:s=1920x1080:r=25:d=2', ...X264)
    const media = await ready(await made('film.mp4', '-stream_loop', '3599', '-i', clip.path, '-c', 'copy'))
    const { cues, sheet } = await storyboardOf(media)
    expect(cues).toHaveLength(100)
    for (const cue of cues) expect(average(tileOf(sheet, cue))).toBeCloseTo(254 / 3, -1)
    const detail = await detailOf(media, 'storyboard')
    expect(detail).toMatchObject({ way: 'seek' })
    expect(detail.ms).toBeLessThan(60_000)
  }, 180_000)

  it('of a sound is its peaks, and there is no picture', async () => {
    const sine = 'sine=frequency=440:duration=10,volume=4'
    const silent = 'anullsrc=d=10'
    for (const [name, source, peak] of [
      ['sine.wav', sine, 64],
      ['silence.flac', silent, 0],
      ['sine.mp3', sine, 64],
    ] as const) {
      const media = await ready(await made(name, '-f', 'lavfi', '-i', source))
      expect(media).toMatchObject({ thumbnailUrl: null, storyboardUrl: null, thumbhash: null })
      for (const what of ['thumbnail', 'storyboard', 'storyboard.vtt'])
        expect((await get(`/api/v1/media/${media.id}/${what}`)).status).toBe(404)
      const response = await fetch(new URL(media.waveformUrl ?? '', landfall.url))
      expect(response.headers.get('Content-Type')).toBe('application/json; charset=utf-8')
      const { length, data, ...more } = (await response.json()) as { length: number; data: number[] }
      expect(more).toEqual({
        version: 2,
        channels: 1,
        sample_rate: 8000,
        bits: 8,
        samples_per_pixel: expect.closeTo(102, -1),
      })
      expect(data).toHaveLength(length * 2)
      expect(length).toBeGreaterThan(770)
      expect(length).toBeLessThanOrEqual(800)
      const start = Math.floor(length / 2) * 2 - 200
      const middle = data.slice(start, start + 400)
      for (const [n, value] of middle.entries()) {
        expect(Math.abs(value - (n % 2 === 0 ? -peak : peak)), `${name} ${n}`).toBeLessThanOrEqual(4)
      }
    }
  })

  it('of a video with sound has the peaks of it, and of one without has none', async () => {
    expect((await ready(await shortVideo())).waveformUrl).not.toBeNull()
    const mute = await ready(await shortVideo({ audio: false }))
    expect(mute.waveformUrl).toBeNull()
    expect((await get(`/api/v1/media/${mute.id}/waveform`)).status).toBe(404)
  })

  it('is for its owner and who has a link to it', async () => {
    const { id, storyboardUrl, waveformUrl } = await ready(await shortVideo())
    for (const what of ['thumbnail', 'storyboard', 'storyboard.vtt', 'waveform']) {
      const path = `/api/v1/media/${id}/${what}`
      expect((await get(path)).status).toBe(200)
      expect((await landfall.as('bob')(path)).status).toBe(404)
      expect((await fetch(new URL(path, landfall.url))).status).toBe(401)
    }
    const crossed = storyboardUrl?.replace('/storyboard.vtt?', '/waveform?') ?? ''
    expect((await fetch(new URL(crossed, landfall.url))).status).toBe(401)
    const link = new URL(waveformUrl ?? '', landfall.url)
    const etag = (await fetch(link)).headers.get('ETag') ?? ''
    expect((await fetch(link, { headers: { 'If-None-Match': etag } })).status).toBe(304)
    const head = await fetch(link, { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([200, ''])
  })

  it.each(['jpeg', 'png', 'webp', 'avif', 'gif'] as const)(
    'of an image in %s is public without where it was taken, and upright; the original stays as it is',
    async (format) => {
      const path = join(directory, `holiday.${format}`)
      const red = await sharp({ create: { width: 200, height: 300, channels: 3, background: '#f00' } })
        .png()
        .toBuffer()
      const blank = sharp({ create: { width: 400, height: 300, channels: 3, background: '#00f' } })
      await blank
        .composite([{ input: red, left: 0, top: 0 }])
        .withExif({ IFD0: { Copyright: 'Someone' }, IFD3: { GPSLatitude: '51/1 30/1 0/1' } })
        .withMetadata({ orientation: 6 })
        .toFormat(format)
        .toFile(path)
      const isTurned = format !== 'gif'
      const media = await ready({ path, name: `holiday.${format}`, contentType: `image/${format}` })
      const original = Buffer.from(await (await get(`/api/v1/media/${media.id}/content`)).arrayBuffer())
      expect(original.equals(await readFile(path))).toBe(true)
      if (isTurned) expect((await sharp(original).metadata()).exif).toBeDefined()

      const [key = ''] = (await landfall.stored.keys()).filter((name) =>
        name.startsWith(`public/${media.id}`),
      )
      const copy = await landfall.stored.bytes(key)
      const { exif, xmp, iptc, orientation, ...shown } = await sharp(copy).metadata()
      expect({ exif, xmp, iptc, orientation: orientation ?? 1 }).toEqual({ orientation: 1 })
      expect(copy.includes('GPS') || copy.includes('Someone')).toBe(false)
      const expected = isTurned ? { width: 300, height: 400 } : { width: 400, height: 300 }
      expect(shown).toMatchObject({ ...expected, format: format === 'avif' ? 'heif' : format })
      // What was at the left is at the top.
      const colourAt = async (top: number) => {
        const spot = await sharp(copy)
          .removeAlpha()
          .extract({ left: 20, top, width: 9, height: 9 })
          .toBuffer()
        return (await sharp(spot).stats()).dominant
      }
      expect(await colourAt(20)).toMatchObject({ r: expect.closeTo(255, -2), b: expect.closeTo(0, -2) })
      const below = { r: expect.closeTo(0, -2), b: expect.closeTo(255, -2) }
      if (isTurned) expect(await colourAt(270)).toMatchObject(below)
      const row = await landfall.db
        .selectFrom('landfall.renditions')
        .select(['size', 'content_type'])
        .where('media_id', '=', asMediaId(media.id))
        .where('kind', '=', 'published')
        .executeTakeFirstOrThrow()
      expect(row).toEqual({ size: copy.length, content_type: `image/${format}` })
    },
  )

  it('keeps an animation moving', async () => {
    const moving = await made('moving.gif', '-f', 'lavfi', '-i', 'testsrc2=s=320x240:r=5:d=2')
    const media = await ready(moving)
    const [key = ''] = (await landfall.stored.keys()).filter((name) => name.startsWith(`public/${media.id}`))
    expect(await sharp(await landfall.stored.bytes(key), { animated: true }).metadata()).toMatchObject({
      pages: 10,
      pageHeight: 240,
    })
  })

  it('is the same when its step runs again', async () => {
    for (const file of [await shortVideo(), await jpeg({ width: 1600, height: 900 })]) {
      const media = await ready(file)
      const everything = async () => ({
        rows: await landfall.db
          .selectFrom('landfall.renditions')
          .selectAll()
          .where('media_id', '=', asMediaId(media.id))
          .orderBy('kind')
          .execute(),
        bytes: await Promise.all(
          (await keysOf(media)).map((name) => landfall.stored.bytes(`renditions/${media.id}/${name}`)),
        ),
        keys: await landfall.stored.keys(),
      })
      const before = await everything()
      const steps = STEPS.filter(({ produces }) => produces).map(({ name }) => name)
      await landfall.db.deleteFrom('landfall.processing_steps').where('step', 'in', steps).execute()
      const boss = await openQueues({ db: landfall.db, supervise: false, onError: () => {} })
      try {
        const job = await boss.send(QUEUES.processing, { mediaId: media.id })
        await expect
          .poll(
            async () => (await boss.findJobs(QUEUES.processing, { id: job ?? '' })).map(({ state }) => state),
            { timeout: 20_000 },
          )
          .toEqual(['completed'])
      } finally {
        await boss.stop({ close: false, graceful: false })
      }
      expect(await everything()).toEqual(before)
    }
  })

  it('has a name that removal knows, and a step that makes it', () => {
    const made = STEPS.flatMap(({ produces = [] }) => produces)
    expect(made.toSorted()).toEqual(Object.keys(RENDITIONS).toSorted())
  })

  it('goes with its media', async () => {
    const { items } = (await (await get('/api/v1/media?limit=100')).json()) as { items: Media[] }
    expect(items.length).toBeGreaterThan(10)
    for (const { id } of items)
      expect((await landfall.as('alice')(`/api/v1/media/${id}`, { method: 'DELETE' })).status).toBe(204)
    const boss = await openQueues({ db: landfall.db, supervise: false, onError: () => {} })
    try {
      await reap({ db: landfall.db, boss, retentionMs: 0, notifyListeners: () => {}, log: QUIET })
      await expect.poll(() => landfall.stored.keys(), { timeout: 60_000 }).toEqual([])
    } finally {
      await boss.stop({ close: false, graceful: false })
    }
    // The ledger forgets them when they are gone.
    await expect
      .poll(() => landfall.db.selectFrom('landfall.renditions').select('kind').execute())
      .toEqual([])
  }, 90_000)
})

const TYPES: Record<string, string> = {
  wav: 'audio/wav',
  flac: 'audio/flac',
  mp3: 'audio/mpeg',
  gif: 'image/gif',
}

/** Twenty seconds, each a shade lighter than the one before. */
const SHADES = "color=c=black:s=320x240:r=10:d=20,geq=lum='16+10*floor(T)':cb=128:cr=128"
/** Of the n-th second, from 0, in full range. */
const shadeOf = (n: number) => (10 * n * 255) / 219

function cuesIn(vtt: string): Cue[] {
  const [head, ...cues] = vtt.trimEnd().split('\n\n')
  expect(head).toBe('WEBVTT')
  return cues.map((cue) => {
    const [times = '', place = ''] = cue.split('\n')
    const [from = 0, to = 0] = times.split(' --> ').map(secondsOf)
    const [picture = '', fragment = ''] = place.split('#xywh=')
    const [x = 0, y = 0, width = 0, height = 0] = fragment.split(',').map(Number)
    return { from, to, picture, x, y, width, height }
  })
}

function secondsOf(time: string): number {
  const [hours = 0, minutes = 0, seconds = 0] = time.split(':').map(Number)
  return hours * 3600 + minutes * 60 + seconds
}

/** The pixels of a tile. */
function tileOf({ data, info }: Sheet, { x, y, width, height }: Cue): Buffer {
  const rows = Array.from({ length: height }, (_, row) => {
    const start = ((y + row) * info.width + x) * info.channels
    return data.subarray(start, start + width * info.channels)
  })
  return Buffer.concat(rows)
}

const average = (pixels: Buffer = Buffer.alloc(0)): number =>
  pixels.reduce((sum, value) => sum + value, 0) / pixels.length

const shadeIn = (sheet: Sheet, cue: Cue): number => average(tileOf(sheet, cue))
