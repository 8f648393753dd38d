import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { turned } from '../../test/fixtures/media.ts'
import { PLANTED, plant } from '../../test/fixtures/planted.ts'
import { makeTelltale, SECRET, TELLTALES } from '../../test/fixtures/telltale.ts'
import { programPath, requires } from '../../test/services/requirements.ts'
import { Ffmpeg } from '../tools/ffmpeg.ts'
import { readProbe } from '../tools/probe-report.ts'
import { UnreadableInput } from '../tools/tool-errors.ts'
import type { StepContext } from './step.ts'
import { writeStripped } from './stripped-file.ts'

const ffmpegThere = requires('ffmpeg')
const ffmpeg = new Ffmpeg({ ffmpegPath: programPath('ffmpeg'), ffprobePath: programPath('ffprobe') })

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'landfall-stripped-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

type ProbedStream = {
  codec_type: string
  tags?: Record<string, string>
  side_data_list?: { side_data_type?: string }[]
  color_transfer?: string
  color_primaries?: string
  color_space?: string
  pix_fmt?: string
}
type Probed = {
  format: { duration?: string; tags?: Record<string, string> }
  streams: ProbedStream[]
  chapters: unknown[]
}

async function probe(path: string): Promise<Probed> {
  const { stdout } = await execa(programPath('ffprobe'), [
    ...['-v', 'error', '-of', 'json', '-show_format', '-show_streams', '-show_chapters', path],
  ])
  return JSON.parse(stdout) as Probed
}

/** Of what the packets of each stream are when they are decoded, with what players would cut off of a sound. */
async function hashOf(path: string, isSound: boolean): Promise<string> {
  const maps = [...(isSound ? [] : ['-map', '0:V']), '-map', '0:a?']
  const output = [...maps, '-f', 'streamhash', '-hash', 'md5', '-']
  const input = ['-flags2', '+skip_manual', '-i', path]
  const { stdout } = await execa(programPath('ffmpeg'), ['-v', 'error', ...input, ...output])
  // In the order of the streams, which the copy need not have.
  return stdout
    .split('\n')
    .map((line) => line.replace(/^\d+,/, ''))
    .sort()
    .join('\n')
}

async function strip(path: string, contentType: string, declared?: number): Promise<string> {
  const folder = await mkdtemp(join(directory, 'scratch-'))
  const size = declared ?? (await stat(path)).size
  const kind = contentType.startsWith('video/') ? 'video' : 'audio'
  const run = {
    input: path,
    size,
    demuxers: [
      'mov',
      'mp4',
      'm4a',
      '3gp',
      '3g2',
      'mj2',
      'matroska',
      'webm',
      'avi',
      'mp3',
      'wav',
      'ogg',
      'flac',
      'aac',
    ],
    signal: AbortSignal.timeout(60_000),
  }
  const facts = readProbe({ ...(await ffmpeg.probe(run)), size })
  const context = {
    ffmpeg,
    media: { ...facts, size, content_type: contentType, kind, storage_key: 'key', etag: null },
    objects: { toolInput: async () => path },
    signal: run.signal,
  }
  return (await writeStripped(context as unknown as StepContext, folder)).path
}

/** What a container says of its own making, and says of every file. */
const OWN = [
  'major_brand',
  'minor_version',
  'compatible_brands',
  'handler_name',
  'vendor_id',
  'language',
  'DURATION',
  'ENCODER',
  'encoder',
]

describe.skipIf(!ffmpegThere.met)('a file without what was noted in it', () => {
  it.each(TELLTALES)('has the picture and sound of $name, and not a word of the rest', async (telltale) => {
    const { path, contentType } = await makeTelltale(directory, telltale)
    expect((await readFile(path)).includes(SECRET)).toBe(true)
    const copy = await strip(path, contentType)
    const bytes = await readFile(copy)
    for (const word of [
      SECRET,
      '52.5163',
      '013.3777',
      '2021-03',
      'ISO6709',
      'Exif',
      'Lavf5',
      'Lavc',
      'x264',
      'x265',
    ])
      expect([word, bytes.includes(word)]).toEqual([word, false])
    const [before, after] = [await probe(path), await probe(copy)]
    const isSound = telltale.isSound === true
    expect(await hashOf(copy, isSound)).toBe(await hashOf(path, isSound))
    expect(after.chapters).toEqual([])
    expect(after.streams.map(({ codec_type }) => codec_type).sort()).toEqual(
      isSound ? ['audio'] : ['audio', 'video'],
    )
    for (const { tags = {} } of [after.format, ...after.streams])
      for (const tag of Object.keys(tags)) expect(OWN).toContain(tag)
    const seconds = (probed: Probed) => Number(probed.format.duration)
    expect(Math.abs(seconds(after) - seconds(before))).toBeLessThan(0.1)
  })

  it.each(PLANTED)('has nothing of what is noted in the coded data of $name', async (planted) => {
    const { contentType, isSound = false } = planted
    const path = await plant(directory, planted)
    expect((await readFile(path)).includes(SECRET)).toBe(true)
    const copy = await strip(path, contentType)
    const bytes = await readFile(copy)
    for (const word of [SECRET, '52.5163', 'Exif', 'Lavc', 'x264', 'x265'])
      expect([word, bytes.includes(word)]).toEqual([word, false])
    expect(await hashOf(copy, isSound)).toBe(await hashOf(path, isSound))
    const { stderr } = await execa(programPath('ffmpeg'), ['-v', 'error', '-i', copy, '-f', 'null', '-'])
    expect(stderr).toBe('')
  })

  const named = (name: string) => {
    const found = TELLTALES.find((one) => one.name === name)
    if (!found) throw new Error(`no such file: ${name}`)
    return found
  }
  const stream = ({ streams }: Probed, type: string) => streams.find(({ codec_type }) => codec_type === type)

  it('is turned as the file is, and its sound is in the same language', async () => {
    const { path, contentType } = await makeTelltale(directory, named('phone.mp4'))
    const upright = join(directory, 'upright.mp4')
    await writeFile(upright, turned(await readFile(path)))
    const copy = await probe(await strip(upright, contentType))
    expect(stream(copy, 'video')?.side_data_list).toMatchObject([{ rotation: -90 }])
    expect(stream(copy, 'audio')?.tags).toMatchObject({ language: 'deu' })
  })

  it('has the light and the colours of the file', async () => {
    const { path, contentType } = await makeTelltale(directory, named('hevc.mov'))
    const colours = async (file: string) => {
      const picture = stream(await probe(file), 'video')
      const { color_transfer, color_primaries, color_space, pix_fmt, side_data_list } = picture ?? {}
      return { color_transfer, color_primaries, color_space, pix_fmt, side_data_list }
    }
    const original = await colours(path)
    expect(original).toMatchObject({ color_transfer: 'smpte2084', color_primaries: 'bt2020' })
    expect(await colours(await strip(path, contentType))).toEqual(original)
  })

  it.each(['hevc.mov', 'hevc.mkv'])('has the light of the screen that %s was mastered on', async (name) => {
    const planted = PLANTED.find((one) => one.name === name)
    if (!planted) throw new Error(`no such file: ${name}`)
    const light = async (path: string) => {
      const frames = ['-show_frames', '-read_intervals', '%+#1', '-of', 'json']
      const { stdout } = await execa(programPath('ffprobe'), ['-v', 'error', ...frames, path])
      const [frame] = (JSON.parse(stdout) as { frames: ProbedStream[] }).frames
      return frame?.side_data_list?.filter(({ side_data_type: type }) => !/user data/i.test(type ?? ''))
    }
    const path = await plant(directory, planted)
    const original = await light(path)
    const types = ['Mastering display metadata', 'Content light level metadata']
    expect(original).toEqual(types.map((type) => expect.objectContaining({ side_data_type: type })))
    expect(await light(await strip(path, planted.contentType))).toEqual(original)
  })

  const PICTURE = ['-f', 'lavfi', '-i', 'testsrc2=size=176x144:rate=25:duration=1']
  it.each([
    ['pictures in PNG', 'png.mov', 'video/quicktime', ['-c:v', 'png']],
    ['AC-3', 'ac3.mkv', 'video/x-matroska', ['-f', 'lavfi', '-i', 'sine', '-t', '1', '-c:a', 'ac3']],
    ['DV', 'dv.mov', 'video/quicktime', ['-s', '720x576', '-pix_fmt', 'yuv420p', '-c:v', 'dvvideo']],
    [
      'transparency beside the frames',
      'alpha.webm',
      'video/webm',
      ['-c:v', 'libvpx', '-auto-alt-ref', '0', '-pix_fmt', 'yuva420p'],
    ],
  ])('is not made of a file with %s, as nobody has looked through that', async (_, name, type, options) => {
    const path = join(directory, name)
    await execa(programPath('ffmpeg'), ['-v', 'error', '-y', ...PICTURE, ...options, path])
    await expect(strip(path, type)).rejects.toThrow(/is not known/)
  })

  it('is not made of a file that grows far beyond its size by that, and is not written to its end', async () => {
    const path = join(directory, 'long.wav')
    const sound = ['-f', 'lavfi', '-i', 'anoisesrc=duration=60:sample_rate=44100', '-c:a', 'pcm_s16le']
    await execa(programPath('ffmpeg'), ['-v', 'error', '-y', ...sound, path])
    await expect(strip(path, 'audio/wav', 1000)).rejects.toThrow(/larger/)
  })

  it('is not made of a file whose sound its container cannot hold', async () => {
    const path = join(directory, 'foreign.mkv')
    const sound = ['-f', 'lavfi', '-i', 'sine=duration=1', '-f', 'lavfi', '-i', 'testsrc2=duration=1']
    await execa(programPath('ffmpeg'), ['-v', 'error', ...sound, '-c:v', 'mpeg4', '-c:a', 'wmav2', path])
    await expect(strip(path, 'video/mp4')).rejects.toThrow(UnreadableInput)
  })
})
