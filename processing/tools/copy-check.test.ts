import { mkdtemp, open, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { programPath, requires } from '../../test/services/requirements.ts'
import { scrubFor } from '../scrubbing/codecs.ts'
import type { PacketScrub } from '../scrubbing/scrub.ts'
import { scrubFile } from '../scrubbing/scrubbed-file.ts'
import type { StepContext } from '../step/step.ts'
import { writeStripped } from '../step/stripped-file.ts'
import { Ffmpeg } from './ffmpeg.ts'
import { readProbe } from './probe-report.ts'
import { UnreadableInput } from './tool-errors.ts'

vi.mock('../scrubbing/codecs.ts', { spy: true })

const ffmpegThere = requires('ffmpeg')
const PATHS = { ffmpegPath: programPath('ffmpeg'), ffprobePath: programPath('ffprobe') }

/** Writes something else than it was told. */
class Careless extends Ffmpeg {
  override async remux(run: Parameters<Ffmpeg['remux']>[0]): Promise<void> {
    await super.remux(run)
    const file = await open(run.path, 'r+')
    await file.write(Buffer.from('another sound'), 0, 13, Math.floor((await file.stat()).size / 2))
    await file.close()
  }
}

/** Notes which files there are in the folder when it begins another. */
class Watching extends Ffmpeg {
  readonly seen: string[][] = []
  override async remux(run: Parameters<Ffmpeg['remux']>[0]): Promise<void> {
    this.seen.push(await readdir(run.folder))
    await super.remux(run)
  }
}

describe.skipIf(!ffmpegThere.met)('a public copy', () => {
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-copy-check-'))
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))
  afterEach(() => void vi.mocked(scrubFor).mockReset())

  async function make(name: string, ...options: string[]): Promise<string> {
    const path = join(directory, name)
    const picture = ['-f', 'lavfi', '-i', 'testsrc2=size=176x144:rate=10:duration=3']
    const sound = ['-f', 'lavfi', '-i', 'sine=frequency=440:duration=3']
    await execa(PATHS.ffmpegPath, ['-v', 'error', '-y', ...picture, ...sound, ...options, path])
    return path
  }
  const runOf = async (path: string) => ({
    input: path,
    size: (await stat(path)).size,
    demuxers: ['mov', 'mp4', 'wav', 'matroska', 'avi'],
    signal: AbortSignal.timeout(60_000),
  })
  async function strip(ffmpeg: Ffmpeg, path: string, contentType: string): Promise<string> {
    const run = await runOf(path)
    const facts = readProbe({ ...(await ffmpeg.probe(run)), size: run.size })
    const kind = contentType.startsWith('video/') ? 'video' : 'audio'
    const context = {
      ffmpeg,
      media: { ...facts, size: run.size, content_type: contentType, kind, storage_key: 'key', etag: null },
      objects: { toolInput: async () => path },
      signal: run.signal,
    }
    const folder = await mkdtemp(join(directory, 'scratch-'))
    return (await writeStripped(context as unknown as StepContext, folder)).path
  }
  const scrubbedBy = (scrub: PacketScrub) =>
    vi.mocked(scrubFor).mockReturnValue({ config: () => {}, packets: () => scrub, maxPacketBytes: 1e6 })

  it('is none where a packet is not that of the file', async () => {
    const path = await make('sound.wav', '-map', '1', '-c:a', 'pcm_s16le')
    await expect(strip(new Careless(PATHS), path, 'audio/wav')).rejects.toThrow(
      'does not contain what was read',
    )
    await strip(new Ffmpeg(PATHS), path, 'audio/wav')
  })

  it.each(['first', 'last'])(
    'is none where the %s frame of the picture decodes differently',
    async (which) => {
      const path = await make('picture.avi', '-map', '0', '-c:v', 'mjpeg')
      let n = 0
      scrubbedBy(function* (packet) {
        n += 1
        if (n === (which === 'first' ? 1 : 30))
          packet.fill(0x55, Math.floor(packet.length / 2), packet.length - 2)
        yield
      })
      await expect(strip(new Ffmpeg(PATHS), path, 'video/x-msvideo')).rejects.toThrow(
        'does not decode as before',
      )
    },
  )

  it('is none where a frame of the sound decodes differently', async () => {
    const path = await make('both.mp4', '-c:v', 'mpeg4', '-c:a', 'aac')
    scrubbedBy(function* (packet) {
      // A frame of the sound, near the end.
      if (packet.length < 300) packet.fill(0x55, Math.floor(packet.length / 2))
      yield
    })
    await expect(strip(new Ffmpeg(PATHS), path, 'video/mp4')).rejects.toThrow('does not decode as before')
  })

  it('is decoded for that only where something was overwritten', async () => {
    const path = await make('plain.wav', '-map', '1', '-c:a', 'pcm_s16le')
    const ffmpeg = new Ffmpeg(PATHS)
    const hashes = vi.spyOn(ffmpeg, 'hashes')
    await strip(ffmpeg, path, 'audio/wav')
    expect(hashes.mock.calls.map(([{ hashed }]) => hashed)).toEqual(['packets', 'packets'])
  })

  it('is one file at a time where a second container is tried', async () => {
    const path = await make('two.mp4', '-c:v', 'mpeg4', '-c:a', 'aac')
    const ffmpeg = new Watching(PATHS)
    vi.mocked(scrubFor).mockImplementation(() => {
      throw new UnreadableInput('nothing is known of it')
    })
    await expect(strip(ffmpeg, path, 'video/mp4')).rejects.toThrow('nothing is known')
    expect(ffmpeg.seen).toEqual([[], []])
  })

  it('is none of a file with more packets than are looked through, which are not kept either', async () => {
    const path = await make('many.mp4', '-c:v', 'mpeg4', '-c:a', 'aac', '-movflags', '+faststart')
    const before = await readFile(path)
    const scrub = async (maxPackets: number) =>
      await scrubFile(new Ffmpeg(PATHS), await runOf(path), 'video/mp4', { maxPackets })
    await expect(scrub(20)).rejects.toThrow('too many packets')
    expect(await readFile(path)).toEqual(before)
    // Those of a codec that has room for nothing else do not count.
    const plain = await make('plain.mkv', '-map', '0', '-c:v', 'libvpx', '-b:v', '100k')
    await scrubFile(new Ffmpeg(PATHS), await runOf(plain), 'video/x-matroska', { maxPackets: 20 })
    await scrub(1000)
  })
})
