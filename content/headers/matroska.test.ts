import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { programPath, requires } from '../../test/services/requirements.ts'
import {
  expectSane,
  h264,
  headerOf,
  made,
  NOTHING,
  picture,
  probed,
  readBytes,
  retainedBy,
  sound,
  vp8,
} from '../../test/support/header-files.ts'

const WEBM = 'video/webm'
const MKV = 'video/x-matroska'
const MIB = 1024 * 1024
const SEGMENT = 0x18538067
const CLUSTER = 0x1f43b675
const INFO = 0x1549a966
const TRACKS = 0x1654ae6b
const VOID = 0xec

const ffmpeg = requires('ffmpeg')

describe.skipIf(!ffmpeg.met)('the header of a Matroska file that ffmpeg made', () => {
  let directory: string
  let plain: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-matroska-'))
    plain = await made(directory, 'plain.webm', picture('320x180'), sound, vp8, ['-c:a', 'libopus'])
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  it.each([
    ['WebM', 'a.webm', WEBM, [...vp8, '-c:a', 'libopus']],
    ['Matroska', 'a.mkv', MKV, h264],
    [
      'Matroska with its cues in front',
      'cues.mkv',
      MKV,
      [...h264, '-cues_to_front', '1', '-reserve_index_space', '9000'],
    ],
    ['Matroska with pixels that are not square', 'anamorphic.mkv', MKV, [...h264, '-vf', 'setsar=4/3']],
  ])('as %s says what ffprobe says', async (_what, name, type, args) => {
    const path = await made(directory, name, picture('320x180'), sound, args)
    const facts = await headerOf(type, path)
    const { duration_seconds, coded_width: width, coded_height: height } = await probed(path)
    expect(facts.durationSeconds).toBeCloseTo(duration_seconds ?? -1, 2)
    expect(facts.pictures).toEqual([{ width, height }])
  })

  it('that claims another length than it has says so; its packets tell how long it is', async () => {
    const bytes = await readFile(plain)
    bytes.writeDoubleBE(1_000_000, bytes.indexOf(Buffer.from([0x44, 0x89, 0x88])) + 3)
    const path = join(directory, 'claims.webm')
    await writeFile(path, bytes)
    expect((await headerOf(WEBM, path)).durationSeconds).toBe(1000)
    expect((await probed(path)).duration_seconds).toBeCloseTo(1, 1)
  })

  it('without a picture says its length', async () => {
    const path = await made(directory, 'sound.mkv', sound, ['-c:a', 'aac'])
    const { durationSeconds, pictures } = await headerOf(MKV, path)
    expect(durationSeconds).toBeCloseTo((await probed(path)).duration_seconds ?? -1, 2)
    expect(pictures).toEqual([])
  })

  it('with two pictures tells both, and the first is the one that ffprobe counts', async () => {
    const both = [...picture('320x180'), ...picture('160x240'), '-map', '0', '-map', '1']
    const path = await made(directory, 'two.mkv', both, h264)
    const { pictures } = await headerOf(MKV, path)
    expect(pictures).toEqual([
      { width: 320, height: 180 },
      { width: 160, height: 240 },
    ])
    expect(await probed(path)).toMatchObject(pictures[0] ?? {})
  })

  it('does not count an attached picture', async () => {
    const cover = await made(directory, 'cover.png', picture('64x64'), ['-frames:v', '1'])
    const path = await made(directory, 'cover.mkv', picture('320x180'), h264, [
      ...['-attach', cover, '-metadata:s:t', 'mimetype=image/png'],
    ])
    expect((await headerOf(MKV, path)).pictures).toEqual([{ width: 320, height: 180 }])
    expect(await probed(path)).toMatchObject({ width: 320, height: 180 })
  })

  it.each([
    ['as it goes to a pipe', []],
    ['as it is sent live', ['-live', '1']],
  ])('tells its size and no length %s', async (_how, args) => {
    const all = ['-nostdin', '-v', 'error', ...picture('320x180'), ...vp8, ...args, '-f', 'webm', 'pipe:1']
    const { stdout } = await execa(programPath('ffmpeg'), all, { encoding: 'buffer' })
    const path = join(directory, 'live.webm')
    await writeFile(path, stdout)
    const facts = await headerOf(WEBM, path)
    expect(facts).toMatchObject({ durationSeconds: undefined, pictures: [{ width: 320, height: 180 }] })
  })

  it('is read before the media comes', async () => {
    const bytes = await readFile(plain)
    const cluster = bytes.indexOf(Buffer.from([0x1f, 0x43, 0xb6, 0x75]))
    const { isDone, facts } = readBytes(WEBM, bytes.subarray(0, cluster))
    expect(isDone).toBe(true)
    expect(facts.durationSeconds).toBeDefined()
    expect(facts.pictures).toHaveLength(1)
  })

  it('is read alike in whatever pieces it comes, cut off or with wrong bytes too', async () => {
    const bytes = (await readFile(plain)).subarray(0, 2000)
    const flips = fc.array(fc.record({ at: fc.nat({ max: 700 }), mask: fc.integer({ min: 1, max: 255 }) }), {
      maxLength: 20,
    })
    fc.assert(
      fc.property(
        flips,
        fc.nat({ max: bytes.length }),
        fc.constantFrom(1, 7, 300),
        (places, end, chunkSize) => {
          const broken = Buffer.from(bytes.subarray(0, end))
          for (const { at, mask } of places) if (at < end) broken[at] = (broken[at] ?? 0) ^ mask
          const { facts, isDone } = readBytes(WEBM, broken, chunkSize)
          expectSane(facts)
          expect(readBytes(WEBM, broken)).toMatchObject({ facts, isDone })
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('the header of a Matroska file', () => {
  const ebml = element(0x1a45dfa3)
  const tracks = element(TRACKS, videoTrack(320, 180))
  const inSegment = (...parts: Buffer[]) => Buffer.concat([ebml, element(SEGMENT, ...parts)])
  const size = { width: 320, height: 180 }

  it.each([
    ['in a float of 4 bytes', element(INFO, element(0x4489, float(2500))), 2.5],
    ['in a float of 8 bytes', element(INFO, element(0x4489, double(2500))), 2.5],
    [
      'on a scale of its own',
      element(INFO, element(0x2ad7b1, unsigned(1e9)), element(0x4489, float(90))),
      90,
    ],
    [
      'on a scale that comes later',
      element(INFO, element(0x4489, float(90)), element(0x2ad7b1, unsigned(1e9))),
      90,
    ],
    ['on a scale left empty', element(INFO, element(0x2ad7b1), element(0x4489, float(2500))), 2.5],
    ['on a scale of 0', element(INFO, element(0x2ad7b1, unsigned(0)), element(0x4489, float(90))), undefined],
    ['that is no number', element(INFO, element(0x4489, float(Number.NaN))), undefined],
    ['that is infinite', element(INFO, element(0x4489, double(Number.POSITIVE_INFINITY))), undefined],
    ['that is negative', element(INFO, element(0x4489, float(-1))), undefined],
    ['that is no float', element(INFO, element(0x4489, Buffer.alloc(3, 1))), undefined],
    ['that is not there', element(INFO), undefined],
  ])('tells a length %s', (_what, info, seconds) => {
    const { isDone, facts } = readBytes(MKV, inSegment(info, tracks))
    expect(isDone).toBe(true)
    expect(facts).toMatchObject({ durationSeconds: seconds, pictures: [size] })
  })

  it('may leave the sizes of segment and cluster open', () => {
    const bytes = Buffer.concat([ebml, openElement(SEGMENT), tracks, openElement(CLUSTER)])
    expect(readBytes(MKV, bytes, 1)).toMatchObject({ isDone: true, facts: { pictures: [size] } })
  })

  it('ends at the first cluster, whatever comes behind it', () => {
    const bytes = inSegment(element(INFO, element(0x4489, float(2500))), element(CLUSTER), tracks)
    expect(readBytes(MKV, bytes)).toMatchObject({
      isDone: true,
      facts: { durationSeconds: 2.5, pictures: [] },
    })
  })

  it('ends with its segment', () => {
    expect(readBytes(MKV, inSegment(tracks))).toMatchObject({ isDone: true, facts: { pictures: [size] } })
  })

  it('counts a video track without a size, for it may be the one that counts later', () => {
    const bare = element(0xae, element(0x83, unsigned(1)))
    const { facts } = readBytes(MKV, inSegment(element(TRACKS, bare, videoTrack(320, 180))))
    expect(facts.pictures).toEqual([{ width: 0, height: 0 }, size])
  })

  it('does not tell the size of a picture that is rolled, for not each ffmpeg turns it', () => {
    const rolled = videoTrack(320, 180, element(0x7670, element(0x7675, float(-90))))
    const upright = videoTrack(320, 180, element(0x7670, element(0x7675, float(0))))
    const { facts } = readBytes(MKV, inSegment(element(TRACKS, rolled, upright)))
    expect(facts.pictures).toEqual([{ width: 0, height: 0 }, size])
  })

  it('is found behind 100 MiB that mean nothing, which are neither kept nor slow', () => {
    const start = Buffer.concat([ebml, openElement(SEGMENT), elementHeader(VOID, 100 * MIB)])
    const startedAt = performance.now()
    const { result: reader, bytes: retained } = retainedBy(() => {
      const reader = readBytes(MKV, start)
      for (let pushed = 0; pushed < 100; pushed += 1) reader.push(Buffer.alloc(MIB))
      return reader
    })
    expect(performance.now() - startedAt).toBeLessThan(5000)
    expect(retained).toBeLessThan(4 * MIB)
    expect(reader.isDone).toBe(false)
    reader.push(Buffer.concat([tracks, element(CLUSTER)]))
    expect(reader).toMatchObject({ isDone: true, facts: { pictures: [size] } })
  })

  it.each([
    ['another start', Buffer.from('RIFF....AVI LIST')],
    ['nothing but zeros', Buffer.alloc(100 * MIB)],
    ['an id of more than 4 bytes', inSegment(Buffer.from([0x08, 0, 0, 0, 0, 0x80]), tracks)],
    ['a size of more than 8 bytes', inSegment(Buffer.from([VOID, 0]), tracks)],
    ['tracks without an end', inSegment(Buffer.concat([openElement(TRACKS), videoTrack(320, 180)]))],
    ['an element that means nothing without an end', inSegment(openElement(VOID), tracks)],
    [
      'an element of 64 PiB',
      Buffer.concat([ebml, openElement(SEGMENT), elementHeader(VOID, 2 ** 56 - 2 ** 20)]),
    ],
    [
      'an element that reaches out of its parent',
      inSegment(element(TRACKS, videoTrack(320, 180), elementHeader(VOID, 100)), Buffer.alloc(200)),
    ],
    ['65 tracks', inSegment(element(TRACKS, ...new Array<Buffer>(65).fill(videoTrack(320, 180))))],
    ['a million tracks', inSegment(element(TRACKS, Buffer.alloc(9_000_000, element(0xae))))],
    ['a million pieces', inSegment(Buffer.alloc(9_000_000, element(VOID)), tracks)],
    ['a million pieces in front', Buffer.concat([ebml, Buffer.alloc(9_000_000, element(VOID))])],
  ])('is given up at once, and tells nothing, with %s', (_what, bytes) => {
    const before = process.cpuUsage()
    expect(readBytes(MKV, bytes)).toMatchObject({ isDone: true, facts: NOTHING })
    // Of the processor: others may be using it as well.
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(1000)
  })

  it('may be any bytes', () => {
    const ids = fc.constantFrom(SEGMENT, INFO, TRACKS, 0xae, 0x83, 0xe0, 0xb0, 0x4489, 0x2ad7b1, 0x7670, VOID)
    const { any } = fc.letrec<{ any: Buffer }>((tie) => ({
      any: fc.oneof(
        { depthSize: 'medium' },
        fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
        fc.tuple(ids, fc.array(tie('any'), { maxLength: 4 })).map(([id, parts]) => element(id, ...parts)),
      ),
    }))
    fc.assert(
      fc.property(fc.array(any), fc.boolean(), (parts, isSegment) => {
        const bytes = isSegment ? inSegment(...parts) : Buffer.concat([ebml, ...parts])
        const { facts } = readBytes(MKV, bytes, 13)
        expectSane(facts)
        expect(readBytes(MKV, bytes).facts).toEqual(facts)
      }),
      { numRuns: 500 },
    )
  })
})

function elementHeader(id: number, size: number): Buffer {
  const length = Buffer.alloc(8)
  length.writeBigUInt64BE((1n << 56n) + BigInt(size))
  return Buffer.concat([idBytes(id), length])
}

function element(id: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([elementHeader(id, content.length), content])
}

function openElement(id: number): Buffer {
  return Buffer.concat([idBytes(id), Buffer.from([0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])])
}

function idBytes(id: number): Buffer {
  return Buffer.from(id.toString(16), 'hex')
}

function unsigned(value: number): Buffer {
  const bytes = Buffer.alloc(6)
  bytes.writeUIntBE(value, 0, 6)
  return bytes
}

function float(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatBE(value)
  return bytes
}

function double(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return bytes
}

function videoTrack(width: number, height: number, ...more: Buffer[]): Buffer {
  const size = [element(0xb0, unsigned(width)), element(0xba, unsigned(height))]
  return element(0xae, element(0x83, unsigned(1)), element(0xe0, ...size, ...more))
}
