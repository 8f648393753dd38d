import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest'
import { openQueues, QUEUES } from '../jobs/queues.ts'
import { reap } from '../jobs/upkeep/reaper.ts'
import { type Fixture, shortVideo, turned } from './fixtures/media.ts'
import { programPath, requires } from './services/requirements.ts'
import { asMediaId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { filesBelow } from './support/leftovers.ts'
import { QUIET } from './support/quiet.ts'
import { describeStorages } from './support/storages.ts'
import { type MediaJson, process, type SourceFile } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')

type Media = MediaJson & { hlsUrl: string | null }
type Variant = { url: URL; attributes: Record<string, string> }

const ENV = {
  SCAN: 'off',
  DEEP_CHECK: 'off',
  HLS: 'on',
  UPLOAD_MIN_SIZE: '1B',
  MEDIA_MIN_WIDTH: '16',
  MEDIA_MIN_HEIGHT: '16',
}
/** Somebody who never answers. */
const TOLD = {
  WEBHOOK_URL: 'http://127.0.0.1:9/',
  WEBHOOK_SECRET: `whsec_${Buffer.alloc(24).toString('base64')}`,
  WEBHOOK_ALLOW_PRIVATE: 'true',
}
const X264 = ['-c:v', 'libx264', '-preset', 'ultrafast']
const PLAYLIST = 'application/vnd.apple.mpegurl'
/** Encoding takes a while where other tests run beside it. */
const PATIENTLY = { timeout: 120_000, interval: 100 }
vi.setConfig({ testTimeout: 180_000 })

describeStorages.skipIf(!ffmpeg.met)('HLS of a video', (storage) => {
  let directory: string
  let landfall: Landfall

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-hls-'))
    landfall = await startLandfall({ storage, env: ENV })
  })
  afterAll(async () => {
    await landfall?.close()
    await rm(directory, { recursive: true, force: true })
  })

  async function made(name: string, ...args: string[]): Promise<SourceFile> {
    const path = join(directory, name)
    await execa(programPath('ffmpeg'), ['-nostdin', '-v', 'error', '-y', ...args, path])
    return { path, name, contentType: name.endsWith('.mp4') ? 'video/mp4' : 'audio/mpeg' }
  }
  const get = (path: string, headers: Record<string, string> = {}) => landfall.as('alice')(path, { headers })
  const mediaOf = async ({ id }: { id: string }) => (await (await get(`/api/v1/media/${id}`)).json()) as Media
  const scratch = () => join(landfall.dataDirectory, 'scratch')

  async function stepOf({ id }: { id: string }) {
    return await landfall.db
      .selectFrom('landfall.processing_steps')
      .select(['status', 'detail'])
      .where('media_id', '=', asMediaId(id))
      .where('step', '=', 'hls')
      .orderBy('attempt', 'desc')
      .executeTakeFirst()
  }
  /** Uploads a file and waits until the step is over. */
  async function streamed(file: SourceFile): Promise<{ media: Media; detail: object | null | undefined }> {
    const { id } = await process(landfall, 'alice', file)
    await expect.poll(async () => (await stepOf({ id }))?.status, PATIENTLY).toBe('done')
    return { media: await mediaOf({ id }), detail: (await stepOf({ id }))?.detail }
  }
  /** What a player learns from the address alone. */
  async function variantsOf({ hlsUrl }: Media): Promise<Variant[]> {
    const master = new URL(hlsUrl ?? '', landfall.url)
    const response = await fetch(master)
    expect([response.status, response.headers.get('Content-Type')]).toEqual([200, PLAYLIST])
    const text = await response.text()
    expect(text.startsWith('#EXTM3U\n')).toBe(true)
    return [...text.matchAll(/^#EXT-X-STREAM-INF:(.*)\n(.*)$/gm)].map(
      ([, attributes = '', address = '']) => ({
        url: new URL(address, master),
        attributes: Object.fromEntries(
          [...attributes.matchAll(/([A-Z-]+)=("[^"]*"|[^",]*)/g)].map(([, name = '', value = '']) => [
            name,
            value.replaceAll('"', ''),
          ]),
        ),
      }),
    )
  }
  /** The file that a rendition's playlist names, and which bytes of it each piece is. */
  async function piecesOf({ url }: Variant) {
    const response = await fetch(url)
    expect([response.status, response.headers.get('Content-Type')]).toEqual([200, PLAYLIST])
    const text = await response.text()
    const files = new Set(
      [...text.matchAll(/^(?:#EXT-X-MAP:URI="([^"]+)".*|([^#].*))$/gm)].map((m) => m[1] ?? m[2]),
    )
    expect(files.size).toBe(1)
    const lengths = [...text.matchAll(/^#EXT-X-BYTERANGE:(\d+)@(\d+)$/gm)].map(([, count, from]) => ({
      from: Number(from),
      count: Number(count),
    }))
    const seconds = [...text.matchAll(/^#EXTINF:([\d.]+),/gm)].map(([, value]) => Number(value))
    return { file: new URL([...files][0] ?? '', url), lengths, seconds }
  }
  /** What ffprobe, and a decoder, find in all that a rendition plays. */
  async function played({ url }: Variant) {
    const { stderr } = await execa(programPath('ffmpeg'), [
      '-nostdin',
      '-v',
      'error',
      '-i',
      url.href,
      '-f',
      'null',
      '-',
    ])
    expect(stderr).toBe('')
    const { stdout } = await execa(programPath('ffprobe'), [
      ...['-v', 'error', '-count_frames', '-show_streams', '-show_format', '-of', 'json', url.href],
    ])
    const { streams, format } = JSON.parse(stdout) as {
      streams: Record<string, string | number>[]
      format: { duration: string }
    }
    const video = streams.find(({ codec_type }) => codec_type === 'video')
    const audio = streams.find(({ codec_type }) => codec_type === 'audio')
    return {
      size: `${video?.width}x${video?.height}`,
      pixels: video?.pix_fmt,
      frames: Number(video?.nb_read_frames),
      audio: audio && `${audio.codec_name} ${audio.channels} ${audio.sample_rate}`,
      seconds: Number(format.duration),
    }
  }

  it('has each height up to its own, in pieces that begin alike, of what plays', async () => {
    const media = (await streamed(await shortVideo({ seconds: 5, width: 1920, height: 1080 }))).media
    const variants = await variantsOf(media)
    expect(variants.map(({ attributes }) => attributes.RESOLUTION)).toEqual([
      '1920x1080',
      '1280x720',
      '852x480',
      '640x360',
    ])
    const rates = variants.map(({ attributes }) => Number(attributes.BANDWIDTH))
    expect(rates).toEqual(rates.toSorted((a, b) => b - a))
    for (const variant of variants) {
      const { RESOLUTION, BANDWIDTH, CODECS } = variant.attributes
      expect(CODECS).toMatch(/^avc1\.6400[0-9a-f]{2},mp4a\.40\.2$/)
      const { file, lengths, seconds } = await piecesOf(variant)
      expect(seconds).toEqual([4, 1])
      for (const [n, { count }] of lengths.slice(0, 1).entries())
        expect((count * 8) / (seconds[n] ?? 1)).toBeLessThanOrEqual(Number(BANDWIDTH))
      expect(await played(variant)).toEqual({
        size: RESOLUTION,
        pixels: 'yuv420p',
        frames: 125,
        audio: 'aac 2 48000',
        seconds: expect.closeTo(5, 0),
      })
      const head = await fetch(file, { method: 'HEAD' })
      const last = lengths.at(-1)
      expect(head.headers.get('Content-Length')).toBe(String((last?.from ?? 0) + (last?.count ?? 0)))
    }
    const types = await landfall.db
      .selectFrom('landfall.events')
      .select(['id', 'type'])
      .where('media_id', '=', asMediaId(media.id))
      .orderBy('id')
      .execute()
    expect(types.map(({ type }) => type).slice(-2)).toEqual(['media.ready', 'hls.finished'])
    // A client that comes back after it was ready is told so, and nothing more.
    const ready = types.at(-2)?.id
    const stream = await get(`/api/v1/uploads/${media.uploadId}/events?lastEventId=${ready}`)
    expect(await stream.text()).toContain('"type":"hls.finished"')
    expect(
      (await get(`/api/v1/uploads/${media.uploadId}/events?lastEventId=${types.at(-1)?.id}`)).status,
    ).toBe(204)
    expect(await filesBelow(scratch())).toEqual([])
  })

  it('is one rendition of a size that H.264 takes where the video is small and odd', async () => {
    const crop = ['-vf', 'format=yuv444p,crop=321:241:exact=1']
    const odd = await made('odd.mp4', '-f', 'lavfi', '-i', 'testsrc2=s=400x300:r=25:d=3', ...crop, ...X264)
    const [variant, ...more] = await variantsOf((await streamed(odd)).media)
    expect([variant?.attributes, more]).toMatchObject([
      { RESOLUTION: '320x240', CODECS: expect.stringMatching(/^avc1\.[0-9a-f]{6}$/) },
      [],
    ])
    if (variant)
      expect(await played(variant)).toMatchObject({ size: '320x240', pixels: 'yuv420p', audio: undefined })
  })

  it('stands upright when the video is turned', async () => {
    const path = join(directory, 'turned.mp4')
    await writeFile(path, turned(await readFile((await shortVideo()).path)))
    const { media } = await streamed({ path, name: 'turned.mp4', contentType: 'video/mp4' })
    const variants = await variantsOf(media)
    expect(await Promise.all(variants.map(played))).toMatchObject([{ size: '360x640', audio: 'aac 2 48000' }])
  })

  it('lasts as long as the sound does when there is one frame, and has few frames of a fast one', async () => {
    const frame = ['-f', 'lavfi', '-i', 'testsrc2=s=320x240:r=25:d=0.04', '-f', 'lavfi', '-i', 'sine=d=10']
    const still = await variantsOf(
      (await streamed(await made('still.mp4', ...frame, ...X264, '-pix_fmt', 'yuv420p'))).media,
    )
    expect(still[0] && (await piecesOf(still[0])).seconds).toEqual([4, 4, expect.closeTo(2, 0)])
    const fast = await made(
      'fast.mp4',
      '-f',
      'lavfi',
      '-i',
      'testsrc2=s=320x240:r=120:d=2',
      ...X264,
      '-pix_fmt',
      'yuv420p',
    )
    const [variant] = await variantsOf((await streamed(fast)).media)
    expect(variant && (await played(variant))).toMatchObject({ frames: 120, seconds: expect.closeTo(2, 1) })
  })

  it('is none of a sound', async () => {
    const { media, detail } = await streamed(await made('sound.mp3', '-f', 'lavfi', '-i', 'sine=d=3'))
    expect([media.hlsUrl, detail]).toEqual([null, { skipped: 'not for audio' }])
    expect((await get(`/api/v1/media/${media.id}/hls.m3u8`)).status).toBe(404)
  })

  it('is for its owner and who has a link, and each link for what it names', async () => {
    const { media } = await streamed(await shortVideo())
    const [variant] = await variantsOf(media)
    if (!variant) throw new Error('no variant')
    const { file, lengths } = await piecesOf(variant)
    const [first] = lengths
    const last = (first?.from ?? 0) + (first?.count ?? 0) - 1
    const piece = await fetch(file, { headers: { Range: `bytes=${first?.from}-${last}` } })
    expect([piece.status, piece.headers.get('Content-Type')]).toEqual([206, 'video/mp4'])
    expect((await piece.arrayBuffer()).byteLength).toBe(first?.count)

    const room = `/api/v1/media/${media.id}`
    for (const path of ['/hls.m3u8', '/hls/1.m3u8', '/hls/1.mp4']) {
      const response = await get(room + path)
      expect(response.status).toBe(200)
      expect(response.headers.get('Cache-Control')).toBe('private, max-age=3600')
      expect(response.headers.get('X-Content-Type-Options')).toBe('nosniff')
      expect((await landfall.as('bob')(room + path)).status).toBe(404)
      expect((await fetch(new URL(room + path, landfall.url))).status).toBe(401)
    }
    for (const path of [
      '/hls/0.mp4',
      '/hls/2.mp4',
      '/hls/7.m3u8',
      '/hls/01.mp4',
      '/hls/1.ts',
      '/hls/..%2Fcontent',
    ])
      expect((await get(room + path)).status, path).toBe(404)
    const { href } = file
    for (const tampered of [
      href.replace('/1.mp4', '/2.mp4'),
      href.replace('/1.mp4', '/1.m3u8'),
      href.replace('/hls/1.mp4', '/content'),
      href.replace(/expires=(\d+)/, (_, expires) => `expires=${Number(expires) + 3600}`),
      href.slice(0, -1),
    ])
      expect((await fetch(tampered)).status, tampered).toBe(401)
  })

  it('is there once, whatever is done again, and is made anew when some of it was lost', async () => {
    const { media } = await streamed(await shortVideo())
    const { db, stored } = landfall
    const everything = async () => ({
      rows: await db
        .selectFrom('landfall.renditions')
        .selectAll()
        .where('media_id', '=', asMediaId(media.id))
        .orderBy('kind')
        .execute(),
      bytes: await Promise.all((await keysOf(landfall, media)).map((key) => stored.bytes(key))),
    })
    const finished = async () =>
      (
        await db
          .selectFrom('landfall.events')
          .select('type')
          .where('media_id', '=', asMediaId(media.id))
          .execute()
      ).filter(({ type }) => type === 'hls.finished').length
    const before = await everything()
    await transcodeAgain(landfall, media)
    expect(await stepOf(media)).toMatchObject({ detail: { skipped: 'the renditions already exist' } })
    expect([await everything(), await finished()]).toEqual([before, 1])

    await stored.lose(`renditions/${media.id}/hls-1.mp4`)
    await transcodeAgain(landfall, media)
    expect([await everything(), await finished()]).toEqual([before, 2])
  })
})

describeStorages.skipIf(!ffmpeg.met)('HLS of a video whose worker', (storage) => {
  /** A server, and what starts a worker beside it. */
  async function open() {
    const landfall = await startLandfall({
      storage,
      withoutWorker: true,
      env: { ...ENV, MEDIA_RETENTION: '1s' },
    })
    onTestFinished(() => landfall.close())
    const scratch = join(landfall.dataDirectory, 'scratch')
    return {
      landfall,
      scratch,
      work: (env: Record<string, string> = {}) =>
        startLandfall({ storage, beside: landfall, env: { ...ENV, ...env } }),
      mediaOf: async (id: string) =>
        (await (await landfall.as('alice')(`/api/v1/media/${id}`)).json()) as Media,
      isEncoding: () =>
        expect
          .poll(async () => (await filesBelow(scratch)).some((path) => path.endsWith('.mp4')), PATIENTLY)
          .toBe(true),
    }
  }
  /** Long enough to be met in the middle. */
  const longVideo = (): Promise<Fixture> => shortVideo({ seconds: 12, width: 1280, height: 720 })

  it('is stopped in the middle is finished by the next, and no scratch is left by any', async () => {
    const { landfall, scratch, work, mediaOf, isEncoding } = await open()
    const first = await work({ HLS_HEIGHTS: '720' })
    const { id } = await process(landfall, 'alice', await longVideo())
    await isEncoding()
    await first.close()
    expect(await filesBelow(scratch)).toEqual([])
    // As one leaves it that is killed.
    await mkdir(join(scratch, id, 'killed'), { recursive: true })
    await writeFile(join(scratch, id, 'killed', 'hls-1.mp4'), 'half of it')
    const second = await work({ HLS_HEIGHTS: '144' })
    await expect.poll(async () => (await mediaOf(id)).hlsUrl, PATIENTLY).not.toBeNull()
    await second.close()
    expect(await readdir(scratch)).toEqual([])
  })

  it('finds the media deleted leaves nothing of it anywhere', async () => {
    const { landfall, scratch, work, isEncoding } = await open()
    const worker = await work({ HLS_HEIGHTS: '720' })
    const { id } = await process(landfall, 'alice', await longVideo())
    await isEncoding()
    await purge(landfall, id)
    await expect.poll(() => statesOf(landfall, QUEUES.transcoding), PATIENTLY).toEqual(['completed'])
    await expect.poll(() => landfall.stored.keys(), PATIENTLY).toEqual([])
    // The removal comes again when nobody is at the media any more.
    const recorded = () => landfall.db.selectFrom('landfall.renditions').select('kind').execute()
    await expect.poll(recorded, PATIENTLY).toEqual([])
    await worker.close()
    expect(await readdir(scratch)).toEqual([])
  })

  it('makes it is told of by webhooks, and goes with its media', async () => {
    const { landfall, work, mediaOf } = await open()
    const worker = await work({ HLS_HEIGHTS: '240,144', ...TOLD })
    const { id } = await process(landfall, 'alice', await shortVideo())
    await expect.poll(async () => (await mediaOf(id)).hlsUrl, PATIENTLY).not.toBeNull()
    expect(await hlsKeysOf(landfall, id)).toHaveLength(5)
    const told = await landfall.db
      .selectFrom('landfall.webhook_deliveries')
      .select('type')
      .orderBy('position')
      .execute()
    expect(told.map(({ type }) => type).slice(-2)).toEqual(['media.ready', 'hls.finished'])
    await purge(landfall, id)
    await expect.poll(() => landfall.stored.keys(), PATIENTLY).toEqual([])
    await worker.close()
  })

  it('is told of fewer heights than the one before leaves nothing of the others', async () => {
    const { landfall, work, mediaOf } = await open()
    const first = await work({ HLS_HEIGHTS: '360,240' })
    const { id } = await process(landfall, 'alice', await shortVideo())
    await expect.poll(async () => (await mediaOf(id)).hlsUrl, PATIENTLY).not.toBeNull()
    expect(await hlsKeysOf(landfall, id)).toHaveLength(5)
    await first.close()
    const second = await work({ HLS_HEIGHTS: '144' })
    await transcodeAgain(landfall, { id })
    await second.close()
    expect((await mediaOf(id)).hlsUrl).not.toBeNull()
    expect(await hlsKeysOf(landfall, id)).toEqual(['hls-1.m3u8', 'hls-1.mp4', 'hls.m3u8'])
    const [rendition] = await landfall.db
      .selectFrom('landfall.renditions')
      .select(['width', 'height'])
      .where('kind', '=', 'hls-1')
      .execute()
    expect(rendition).toEqual({ width: 256, height: 144 })
  })

  it('is not told to make any makes none', async () => {
    const { landfall, scratch, work, mediaOf } = await open()
    const worker = await work({ HLS: 'off' })
    const { id } = await process(landfall, 'alice', await shortVideo())
    await expect.poll(() => detailOf(landfall, id), PATIENTLY).toEqual({ skipped: 'switched off' })
    expect((await mediaOf(id)).hlsUrl).toBeNull()
    expect((await landfall.as('alice')(`/api/v1/media/${id}/hls.m3u8`)).status).toBe(404)
    expect(await hlsKeysOf(landfall, id)).toEqual([])
    await worker.close()
    await expect(readdir(scratch)).rejects.toThrow('ENOENT')
  })
})

async function keysOf({ stored }: Landfall, { id }: { id: string }): Promise<string[]> {
  return (await stored.keys()).filter((key) => key.startsWith(`renditions/${id}/`))
}

async function hlsKeysOf(landfall: Landfall, id: string): Promise<string[]> {
  const names = (await keysOf(landfall, { id })).map((key) => key.split('/').at(-1) ?? '')
  return names.filter((name) => name.startsWith('hls')).toSorted()
}

async function detailOf({ db }: Landfall, id: string): Promise<object | null | undefined> {
  const step = await db
    .selectFrom('landfall.processing_steps')
    .select('detail')
    .where('media_id', '=', asMediaId(id))
    .where('step', '=', 'hls')
    .where('status', '=', 'done')
    .executeTakeFirst()
  return step?.detail
}

async function withQueues<T>(
  { db }: Landfall,
  work: (boss: Awaited<ReturnType<typeof openQueues>>) => Promise<T>,
): Promise<T> {
  const boss = await openQueues({ db, supervise: false, onError: () => {} })
  try {
    return await work(boss)
  } finally {
    await boss.stop({ close: false, graceful: false })
  }
}

const statesOf = (landfall: Landfall, queue: string): Promise<string[]> =>
  withQueues(landfall, async (boss) => (await boss.findJobs(queue)).map(({ state }) => state))

/** Has the step done once more by whichever worker there is. */
async function transcodeAgain(landfall: Landfall, { id }: { id: string }): Promise<void> {
  const step = landfall.db
    .deleteFrom('landfall.processing_steps')
    .where('media_id', '=', asMediaId(id))
    .where('step', '=', 'hls')
  await step.execute()
  await withQueues(landfall, (boss) => boss.send(QUEUES.transcoding, { mediaId: id }))
  await expect.poll(() => detailOf(landfall, id), PATIENTLY).toBeDefined()
}

async function purge(landfall: Landfall, id: string): Promise<void> {
  expect((await landfall.as('alice')(`/api/v1/media/${id}`, { method: 'DELETE' })).status).toBe(204)
  await withQueues(landfall, (boss) =>
    reap({ db: landfall.db, boss, retentionMs: 0, notifyListeners: () => {}, log: QUIET }),
  )
}
