import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bitFlipped } from './fixtures/hostile.ts'
import { type Fixture, madeByFfmpeg, shortVideo, video60s1080p } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { asMediaId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { process, type SourceFile } from './support/uploads.ts'

const isEquipped = requires('ffmpeg').met && requires('clamd').met

describe.skipIf(!isEquipped)('the deep check', () => {
  let directory: string
  const servers = new Map<string, Landfall>()

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-deep-'))
    for (const DEEP_CHECK of ['off', 'quick', 'full'])
      servers.set(DEEP_CHECK, await startLandfall({ env: { DEEP_CHECK } }))
  })
  afterAll(async () => {
    for (const server of servers.values()) await server.close()
    await rm(directory, { recursive: true, force: true })
  })

  function on(depth: string): Landfall {
    const server = servers.get(depth)
    if (!server) throw new Error(`no server with DEEP_CHECK=${depth}`)
    return server
  }

  const oneKeyFrame = () => shortVideo({ seconds: 4, faststart: true })
  const fourKeyFrames = () =>
    madeByFfmpeg('key-frames.mp4', [
      ...['-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=25:duration=4', '-c:v', 'libx264', '-g', '25'],
      ...['-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-movflags', '+faststart'],
    ])

  /** The video with 400 bits turned over in this part of it. */
  async function damagedFrom(from: number, to: number, video: Fixture): Promise<SourceFile> {
    const bytes = await readFile(video.path)
    const [start, end] = [Math.floor(bytes.length * from), Math.floor(bytes.length * to)]
    const flipped = bitFlipped(bytes.subarray(start, end), 400, 1)
    const path = join(directory, `damaged-${from}.mp4`)
    await writeFile(path, Buffer.concat([bytes.subarray(0, start), flipped, bytes.subarray(end)]))
    return { path, name: 'damaged.mp4', contentType: 'video/mp4' }
  }

  async function stepOf(landfall: Landfall, mediaId: string) {
    return await landfall.db
      .selectFrom('landfall.processing_steps')
      .selectAll()
      .where('media_id', '=', asMediaId(mediaId))
      .where('step', '=', 'deep-check')
      .executeTakeFirstOrThrow()
  }

  it.each([
    ['off', 'ready', null],
    ['quick', 'ready', null],
    ['full', 'rejected', 'damaged'],
  ])('with %s makes of damage between the key frames: %s', async (depth, status, code) => {
    const media = await process(on(depth), 'alice', await damagedFrom(0.7, 0.9, await oneKeyFrame()))
    expect({ status: media.status, code: media.reason?.code ?? null }).toEqual({ status, code })
  })

  it.each([
    ['off', 'ready', null],
    ['quick', 'rejected', 'damaged'],
    ['full', 'rejected', 'damaged'],
  ])('with %s makes of a damaged key frame: %s', async (depth, status, code) => {
    const media = await process(on(depth), 'bob', await damagedFrom(0.4, 0.8, await fourKeyFrames()))
    expect({ status: media.status, code: media.reason?.code ?? null }).toEqual({ status, code })
  })

  it.each(['quick', 'full'])('with %s is noted for a sound file', async (depth) => {
    const media = await process(on(depth), 'carol', await shortVideo())
    expect(media.status).toBe('ready')
    expect((await stepOf(on(depth), media.id)).detail).toEqual({ depth })
  })

  it('as it is by default takes less than half of the time of a full one', async () => {
    const times = new Map<string, number>()
    for (const depth of ['quick', 'full']) {
      const media = await process(on(depth), 'dave', await video60s1080p())
      const { started_at, finished_at } = await stepOf(on(depth), media.id)
      times.set(depth, (finished_at?.getTime() ?? Number.NaN) - started_at.getTime())
    }
    // 0.3 s and 3.4 s on a machine with nothing else to do.
    expect((times.get('quick') ?? Number.NaN) * 2).toBeLessThan(times.get('full') ?? Number.NaN)
  })
})
