import { chmod, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import sharp from 'sharp'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { shortVideo } from './fixtures/media.ts'
import { programPath, requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { statusOf } from './support/status.ts'
import { type MediaJson, outcome, process, type SourceFile, sendFile } from './support/uploads.ts'
import { untilWaiting } from './support/waits.ts'

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')

/** Ways for a program at `path` to be of no use. */
const useless: [how: string, make: (path: string) => Promise<unknown>][] = [
  ['is missing', async () => {}],
  ['is /bin/false', (path) => symlink('/bin/false', path)],
  [
    'exits with 127',
    (path) => script(path, 'echo "libx264.so.164: cannot open shared object file" >&2; exit 127'),
  ],
  ['may not be run', (path) => writeFile(path, '', { mode: 0o644 })],
]

describe.skipIf(!ffmpeg.met || !clamd.met)('a tool that does not work', () => {
  let directory: string
  let landfall: Landfall | undefined

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-tools-'))
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))
  afterEach(async () => {
    await landfall?.close()
    landfall = undefined
  })

  async function startWith(env: Record<string, string>): Promise<Landfall> {
    landfall = await startLandfall({ env })
    return landfall
  }

  const both = (['ffprobe', 'ffmpeg'] as const).flatMap((tool) =>
    useless.map(([how, make]) => ({ tool, how, make })),
  )

  it.each(both)(
    'is waited for when $tool $how: the file is ready once it works',
    async ({ tool, how, make }) => {
      const path = join(directory, `${tool} that ${how.replaceAll('/', ' ')}`)
      await make(path)
      const server = await startWith({ [`${tool.toUpperCase()}_PATH`]: path })
      const file = await shortVideo()
      const { uploadId } = await sendFile(server, 'alice', file)
      await untilItWaits(server, uploadId)
      expect(await mediaOf(server, uploadId)).toMatchObject({ status: 'processing', reason: null })
      const stored = join(server.dataDirectory, 'objects', 'uploads', uploadId)
      expect((await stat(stored)).size).toBe(file.size)

      await rm(path, { force: true })
      await symlink(programPath(tool), path)
      const media = await outcome(server, 'alice', uploadId)
      expect(media).toMatchObject({ status: 'ready', sha256: file.sha256, width: 640, videoCodec: 'h264' })
      await expectPicture(server, media)
    },
  )

  it.each([
    ['fails on every frame', 'exit 1'],
    ['gives no frame', 'exit 0'],
  ])(
    'never turns away a file that probed well: an ffmpeg that %s costs it its thumbnail',
    async (how, end) => {
      const path = join(directory, `ffmpeg that ${how}`)
      await script(path, `if [ "$1" = -version ]; then exec ${programPath('ffmpeg')} -version; fi; ${end}`)
      const server = await startWith({ FFMPEG_PATH: path })
      const media = await process(server, 'alice', await shortVideo())
      expect(media).toMatchObject({ status: 'ready', thumbnailUrl: null, width: 640 })
      const thumbnail = await server.as('alice')(`/api/v1/media/${media.id}/thumbnail`)
      expect(thumbnail.status).toBe(404)
      expect((await server.as('alice')(`/api/v1/media/${media.id}/content`)).status).toBe(200)
    },
  )

  it('is not a video whose picture ends long before its sound, which is ready with a thumbnail', async () => {
    const file = await oneFrame(join(directory, 'one-frame.mp4'))
    const server = await startWith({})
    const media = await process(server, 'alice', file)
    expect(media).toMatchObject({ status: 'ready', kind: 'video', width: 640, hasAudio: true })
    expect(media.durationSeconds).toBeGreaterThan(29)
    await expectPicture(server, media)
  })
})

async function script(path: string, body: string): Promise<void> {
  await writeFile(path, `#!/bin/sh\n${body}\n`)
  await chmod(path, 0o755)
}

/** One frame with half a minute of sound. */
async function oneFrame(path: string): Promise<SourceFile> {
  const picture = ['-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=25:duration=0.04']
  const sound = ['-f', 'lavfi', '-i', 'sine=frequency=440:duration=30']
  const coding = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac']
  await execa(programPath('ffmpeg'), ['-nostdin', '-v', 'error', '-y', ...picture, ...sound, ...coding, path])
  return { path, name: 'one-frame.mp4', contentType: 'video/mp4' }
}

async function expectPicture(server: Landfall, media: MediaJson): Promise<void> {
  const thumbnail = await fetch(new URL(media.thumbnailUrl, server.url))
  expect(await sharp(await thumbnail.arrayBuffer()).metadata()).toMatchObject({ format: 'webp', width: 640 })
}

async function mediaOf(server: Landfall, uploadId: string): Promise<MediaJson> {
  const { mediaId } = await statusOf(server, 'alice', uploadId)
  return (await (await server.as('alice')(`/api/v1/media/${mediaId}`)).json()) as MediaJson
}

/** Waits until the worker has tried the file and could not. A wait is no attempt: there is no record of it. */
async function untilItWaits(server: Landfall, uploadId: string): Promise<void> {
  const { mediaId } = await statusOf(server, 'alice', uploadId)
  await untilWaiting(server, mediaId)
  const failed = await server.db
    .selectFrom('landfall.processing_steps')
    .select('step')
    .where('status', '=', 'failed')
    .execute()
  expect(failed).toEqual([])
}
