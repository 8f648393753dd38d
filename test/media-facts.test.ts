import { open } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FORMATS, formatOfType } from '../content/formats.ts'
import { detectType } from '../content/identification.ts'
import { findPolyglot } from '../content/polyglots/polyglots.ts'
import { damageIn } from '../processing/tools/damage-report.ts'
import { Ffmpeg } from '../processing/tools/ffmpeg.ts'
import { MEDIA_FOLDER } from './fixtures/media-folder.ts'
import { programPath, requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { process } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')

const samples = MEDIA_FOLDER.map((sample) => [sample.what, sample] as const)

describe.skipIf(!ffmpeg.met || !clamd.met)('the facts of a media', () => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({
      env: { UPLOAD_MIN_SIZE: '1', MEDIA_MIN_WIDTH: '2', MEDIA_MIN_HEIGHT: '2', MEDIA_MAX_DURATION: '3h' },
    })
  })
  afterAll(() => landfall?.close())

  it.each(samples)('are exact for %s', async (_what, { make, facts, within }) => {
    const { durationSeconds, fps, ...exact } = facts
    const media = await process(landfall, 'alice', await make())
    expect(media).toMatchObject({ status: 'ready', reason: null, scanStatus: 'clean', ...exact })
    if (fps !== undefined) expect(media.fps).toBe(fps)
    if (durationSeconds !== undefined)
      expect(Math.abs(media.durationSeconds - durationSeconds)).toBeLessThanOrEqual(within)
  })
})

describe.skipIf(!ffmpeg.met)('a sound file', () => {
  const tool = () => new Ffmpeg({ ffmpegPath: programPath('ffmpeg'), ffprobePath: programPath('ffprobe') })

  it.each(samples)('of %s is not called damaged, nor two files in one', async (_what, { make, facts }) => {
    const { path, size } = await make()
    await using file = await open(path)
    const read = async (start: number, end: number) => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(end - start + 1), 0, end - start + 1, start)
      return buffer.subarray(0, bytesRead)
    }
    const format = formatOfType(FORMATS, (await detectType(await read(0, 4099))) ?? '')
    if (!format) throw new Error('it is of no known format')
    expect(await findPolyglot(size, read, format)).toBeUndefined()
    if (format.kind === 'image') return
    const run = {
      input: path,
      size,
      demuxers: format.demuxers,
      signal: AbortSignal.timeout(60_000),
      picture: facts.videoCodec ? { stream: '0:V:0', codec: facts.videoCodec } : undefined,
      sound: facts.hasAudio ? '0:a:0' : undefined,
      seconds: facts.durationSeconds ?? 0,
    }
    for (const depth of ['quick', 'full'] as const) {
      const { complaints } = await tool().decode({ ...run, depth })
      expect(damageIn(complaints, { picture: facts.videoCodec, sound: facts.audioCodec })).toBeUndefined()
    }
  })
})
