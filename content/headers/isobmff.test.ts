import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { requires } from '../../test/services/requirements.ts'
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
} from '../../test/support/header-files.ts'

const MP4 = 'video/mp4'
const MIB = 1024 * 1024
const FASTSTART = ['-movflags', '+faststart']
const QUARTER_TURN = [0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000]
const FLAT_TURN = [0, 0x10000, 0, 0, 0, 0, 0, 0, 0x40000000]
const size = { width: 320, height: 180 }
const HALF_TURN = [-0x10000, 0, 0, 0, -0x10000, 0, 0, 0, 0x40000000]

const ffmpeg = requires('ffmpeg')

describe.skipIf(!ffmpeg.met)('the header of an mp4 that ffmpeg made', () => {
  let directory: string
  let plain: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-isobmff-'))
    plain = await made(directory, 'plain.mp4', picture('320x180'), sound, h264, FASTSTART)
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  /** A file like `plain` with other bytes. */
  async function changed(name: string, change: (bytes: Buffer) => void): Promise<string> {
    const bytes = await readFile(plain)
    change(bytes)
    const path = join(directory, name)
    await writeFile(path, bytes)
    return path
  }

  it.each([
    ['with the index in front', 'front.mp4', MP4, FASTSTART],
    ['of QuickTime', 'quicktime.mov', 'video/quicktime', FASTSTART],
    ['with pixels that are not square', 'anamorphic.mp4', MP4, ['-vf', 'setsar=4/3', ...FASTSTART]],
    ['that starts late', 'late.mp4', MP4, ['-output_ts_offset', '0.5', ...FASTSTART]],
  ])('%s says what ffprobe says', async (_what, name, type, args) => {
    const path = await made(directory, name, picture('320x180'), sound, h264, args)
    const facts = await headerOf(type, path)
    const { duration_seconds, coded_width: width, coded_height: height } = await probed(path)
    // Without the half second before the start.
    const late = name === 'late.mp4' ? 0.48 : 0
    expect(facts.durationSeconds).toBeCloseTo((duration_seconds ?? -1) - late, 1)
    expect(facts.pictures).toEqual([{ width, height }])
  })

  it('that was cut without coding it anew says its length as ffprobe does', async () => {
    const long = await made(directory, 'long.mp4', picture('320x180', 4), h264, ['-g', '50'])
    const path = await made(directory, 'cut.mp4', ['-ss', '1', '-i', long, '-c', 'copy'], FASTSTART)
    const { durationSeconds } = await headerOf(MP4, path)
    expect(durationSeconds).toBeCloseTo((await probed(path)).duration_seconds ?? -1, 1)
  })

  it('without a picture says its length', async () => {
    const path = await made(directory, 'sound.m4a', sound, FASTSTART)
    const { durationSeconds, pictures } = await headerOf('audio/mp4', path)
    expect(durationSeconds).toBeCloseTo((await probed(path)).duration_seconds ?? -1, 2)
    expect(pictures).toEqual([])
  })

  it('with two pictures tells both, and the first is the one that ffprobe counts', async () => {
    const both = [...picture('320x180'), ...picture('160x240'), '-map', '0', '-map', '1']
    const path = await made(directory, 'two.mp4', both, h264, FASTSTART)
    const { pictures } = await headerOf(MP4, path)
    expect(pictures).toEqual([size, { width: 160, height: 240 }])
    expect(await probed(path)).toMatchObject(pictures[0] ?? {})
  })

  it('does not count a track that holds the pictures of chapters, as ffprobe does not', async () => {
    const list = join(directory, 'chapters.txt')
    await writeFile(list, ';FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=One\n')
    const both = [...picture('320x180'), ...picture('160x240'), '-i', list]
    const maps = ['-map', '0', '-map', '1', '-map_chapters', '2']
    const path = await made(directory, 'chapters.mp4', both, maps, h264, FASTSTART)
    const bytes = await readFile(path)
    // ffmpeg writes a track of titles; the first track becomes that of the chapters instead.
    for (let at = bytes.indexOf('chap'); at >= 0; at = bytes.indexOf('chap', at + 1)) bytes[at + 7] = 1
    await writeFile(path, bytes)
    const { pictures } = await headerOf(MP4, path)
    expect(pictures).toEqual([{ width: 160, height: 240 }])
    expect(await probed(path)).toMatchObject({ width: 160, height: 240 })
  })

  it.each([
    ['its track', 'tkhd', QUARTER_TURN, { width: 180, height: 320 }],
    ['all of it', 'mvhd', QUARTER_TURN, { width: 180, height: 320 }],
    ['its track, upside down', 'tkhd', HALF_TURN, size],
    ['its track, to a line', 'tkhd', FLAT_TURN, size],
    ['its track, to nothing', 'tkhd', new Array(9).fill(0), size],
  ] as const)(
    'with a turn of %s (%s) has the size that it is shown with',
    async (_of, box, matrix, shown) => {
      const path = await changed(`turned-${box}.mp4`, (bytes) => setMatrix(bytes, box, matrix))
      expect((await headerOf(MP4, path)).pictures).toEqual([shown])
      expect(await probed(path)).toMatchObject(shown)
    },
  )

  it('with its track and all of it turned has the size that it is shown with', async () => {
    const path = await changed('turned-twice.mp4', (bytes) => {
      setMatrix(bytes, 'tkhd', QUARTER_TURN)
      setMatrix(bytes, 'mvhd', QUARTER_TURN)
    })
    expect((await headerOf(MP4, path)).pictures).toEqual([size])
    expect(await probed(path)).toMatchObject(size)
  })

  it.each(['frag_keyframe+empty_moov', 'frag_keyframe+empty_moov+global_sidx', 'dash'])(
    'in fragments (%s) tells its size and no length, as ffprobe does not believe it',
    async (flags) => {
      const path = await made(directory, 'fragments.mp4', picture('320x180'), h264, ['-movflags', flags])
      const bytes = await readFile(path)
      // Version 0: the length comes after the times of creation and change, and the timescale.
      bytes.writeUInt32BE(1_000_000, bytes.indexOf('mvhd') + 4 + 16)
      await writeFile(path, bytes)
      const { durationSeconds, pictures } = await headerOf(MP4, path)
      expect({ durationSeconds, pictures }).toEqual({ durationSeconds: undefined, pictures: [size] })
      expect((await probed(path)).duration_seconds).toBeCloseTo(1, 1)
    },
  )

  it('that claims a longer length than its tracks says that of its tracks', async () => {
    const path = await changed('claims.mp4', (bytes) => {
      bytes.writeUInt32BE(1_000_000, bytes.indexOf('mvhd') + 4 + 16)
    })
    expect((await headerOf(MP4, path)).durationSeconds).toBeCloseTo(1, 1)
    expect((await probed(path)).duration_seconds).toBeCloseTo(1, 1)
  })

  it('with the index at the end tells nothing', async () => {
    const path = await made(directory, 'end.mp4', picture('320x180'), h264)
    expect(await headerOf(MP4, path)).toEqual(NOTHING)
  })

  it('is read as soon as its index is whole, and not before', async () => {
    const bytes = await readFile(plain)
    const end = endOfIndex(bytes)
    const early = readBytes(MP4, bytes.subarray(0, end - 1))
    expect(early).toMatchObject({ isDone: false, facts: NOTHING })
    early.push(bytes.subarray(end - 1, end))
    expect(early).toMatchObject({ isDone: true, facts: { pictures: [size] } })
    const { facts } = early
    early.push(bytes.subarray(end))
    expect(early.facts).toBe(facts)
  })

  it('is found behind 100 MiB of free space, which is neither kept nor slow', async () => {
    const bytes = await readFile(plain)
    const startedAt = performance.now()
    const { result: reader, bytes: retained } = retainedBy(() => {
      const reader = readBytes(MP4, boxHeader('free', 8 + 100 * MIB))
      for (let pushed = 0; pushed < 100; pushed += 1) reader.push(Buffer.alloc(MIB))
      return reader
    })
    expect(performance.now() - startedAt).toBeLessThan(5000)
    expect(retained).toBeLessThan(4 * MIB)
    expect(reader.isDone).toBe(false)
    reader.push(bytes)
    expect(reader.facts).toEqual(readBytes(MP4, bytes).facts)
  })

  it('is read alike in whatever pieces it comes', async () => {
    const bytes = await readFile(plain)
    const whole = readBytes(MP4, bytes).facts
    const lengths = fc.array(fc.nat({ max: 300 }), { minLength: 1, maxLength: 50 })
    fc.assert(
      fc.property(lengths, (pieces) => {
        const reader = readBytes(MP4, Buffer.alloc(0))
        let at = 0
        for (const length of pieces) {
          // The same memory for each piece, as a socket may do.
          const piece = Buffer.from(bytes.subarray(at, at + length))
          reader.push(piece)
          piece.fill(0xff)
          at += length
        }
        reader.push(bytes.subarray(at))
        expect(reader.facts).toEqual(whole)
      }),
    )
  })

  it('that was cut off tells nothing, and one with wrong bytes nothing absurd', async () => {
    const bytes = await readFile(plain)
    const header = bytes.subarray(0, endOfIndex(bytes))
    const flips = fc.array(
      fc.record({ at: fc.nat({ max: header.length - 1 }), mask: fc.integer({ min: 1, max: 255 }) }),
      { minLength: 1, maxLength: 20 },
    )
    fc.assert(
      fc.property(fc.nat({ max: header.length - 1 }), (length) => {
        expect(readBytes(MP4, header.subarray(0, length)).facts).toEqual(NOTHING)
      }),
    )
    fc.assert(
      fc.property(flips, fc.constantFrom(1, 7, 4096), (places, chunkSize) => {
        const broken = Buffer.from(bytes)
        for (const { at, mask } of places) broken[at] = (broken[at] ?? 0) ^ mask
        const { facts } = readBytes(MP4, broken, chunkSize)
        expectSane(facts)
        expect(readBytes(MP4, broken).facts).toEqual(facts)
      }),
      { numRuns: 500 },
    )
  })
})

describe('the header of an mp4', () => {
  const tracks = (count: number, track = videoTrack(320, 180)) => new Array<Buffer>(count).fill(track)

  it.each([
    ['32 bits', movieHeader(0, 600, 6000n), 10],
    ['64 bits', movieHeader(1, 90_000, 90_000n * 50_000n), 50_000],
    ['no length', movieHeader(0, 600, 0n), undefined],
    ['an unknown length', movieHeader(0, 600, 2n ** 32n - 1n), undefined],
    ['an unknown length of 64 bits', movieHeader(1, 2 ** 31 - 1, 2n ** 64n - 1n), undefined],
    ['more than can be counted', movieHeader(1, 1, 2n ** 62n), undefined],
    ['a timescale of 0', movieHeader(0, 0, 6000n), undefined],
    ['a timescale that is negative to ffmpeg', movieHeader(0, 2 ** 32 - 1, 6000n), undefined],
  ])('tells the length in %s', (_what, header, seconds) => {
    const { facts, isDone } = readBytes(MP4, box('moov', header))
    expect(isDone).toBe(true)
    expect(facts.durationSeconds).toBe(seconds)
  })

  it.each(['encv', 'enca', 'drms'])('tells that a track is encrypted: %s', (type) => {
    const plain = box('moov', movieHeader(0, 600, 6000n), videoTrack(320, 180))
    expect(readBytes(MP4, plain).facts.isEncrypted).toBe(false)
    const coded = box('moov', videoTrack(320, 180), track('vide', sampleDescription(320, 180, type)))
    expect(readBytes(MP4, coded).facts.isEncrypted).toBe(true)
  })

  it('tells no length where fragments follow, whatever it says', () => {
    const parts = [movieHeader(0, 600, 6000n), box('mvex', Buffer.alloc(8))]
    expect(readBytes(MP4, box('moov', ...parts)).facts.durationSeconds).toBeUndefined()
    expect(readBytes(MP4, box('moov', ...parts.reverse())).facts.durationSeconds).toBeUndefined()
  })

  it('may have a long size, what nobody knows, and padding', () => {
    const inside = Buffer.concat([box('????', Buffer.alloc(5)), ...tracks(1), Buffer.alloc(4)])
    const long = Buffer.alloc(16)
    long.writeUInt32BE(1)
    long.write('moov', 4)
    long.writeBigUInt64BE(BigInt(16 + inside.length), 8)
    const { isDone, facts } = readBytes(MP4, Buffer.concat([box('ftyp'), long, inside]), 1)
    expect({ isDone, ...facts }).toMatchObject({ isDone: true, pictures: [size] })
  })

  it('counts a video track without a size, for it may be the one that counts later', () => {
    const { facts } = readBytes(MP4, box('moov', track('vide', box('stsd')), ...tracks(1)))
    expect(facts.pictures).toEqual([{ width: 0, height: 0 }, size])
  })

  it('does not count tracks of other kinds', () => {
    expect(readBytes(MP4, box('moov', track('soun', sampleDescription(2, 16)))).facts.pictures).toEqual([])
  })

  it('tells nothing with the media, or a fragment, in front', () => {
    const moov = box('moov', ...tracks(1))
    for (const type of ['mdat', 'moof']) {
      expect(readBytes(MP4, Buffer.concat([box(type), moov]))).toMatchObject({ isDone: true, facts: NOTHING })
    }
  })

  it.each([
    ['a box that is shorter than its header', Buffer.concat([box('ftyp'), boxHeader('free', 7)])],
    ['a box that is shorter than its long header', longHeader('free', 15n)],
    ['a box without an end', Buffer.concat([boxHeader('free', 0), box('moov', ...tracks(1))])],
    ['a box of 16 EiB', Buffer.concat([longHeader('free', 2n ** 64n - 1n), box('moov', ...tracks(1))])],
    ['a box that reaches out of its parent', box('moov', ...tracks(1), boxHeader('trak', 9))],
    ['a movie header that is too short', box('moov', ...tracks(1), box('mvhd', Buffer.alloc(60)))],
    ['65 tracks', box('moov', ...tracks(65))],
    ['a million tracks', box('moov', Buffer.alloc(8_000_000, box('trak')))],
    ['a million pieces', box('moov', ...tracks(1), Buffer.alloc(8_000_000, box('free')))],
    ['a million chapters', box('moov', box('trak', box('tref', box('chap', counted(1_000_000)))))],
    [
      'a million times the same chapter',
      box('moov', box('trak', box('tref', box('chap', Buffer.alloc(4e6))))),
    ],
    ['nothing but zeros', Buffer.alloc(100 * MIB)],
  ])('is given up at once, and tells nothing, with %s', (_what, bytes) => {
    const before = process.cpuUsage()
    expect(readBytes(MP4, bytes)).toMatchObject({ isDone: true, facts: NOTHING })
    // Of the processor: others may be using it as well.
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(1000)
  })

  it('is read no deeper than the boxes that it needs', () => {
    let nested = box('trak')
    for (let depth = 0; depth < 2000; depth += 1) nested = box('trak', nested)
    const { isDone, facts } = readBytes(MP4, box('moov', nested, ...tracks(1)))
    expect({ isDone, ...facts }).toMatchObject({ isDone: true, pictures: [size] })
  })

  it('keeps no more than some fields of a box that never ends', () => {
    const { bytes: retained } = retainedBy(() => {
      const starts = [[boxHeader('moov', 2 ** 31), boxHeader('mvhd', 2 ** 30)], [boxHeader('moov', 2 ** 31)]]
      const readers = starts.map((headers) => readBytes(MP4, Buffer.concat(headers)))
      for (const reader of readers) for (let n = 0; n < 50; n += 1) reader.push(Buffer.alloc(MIB, 1))
      expect(readers[0]?.isDone).toBe(false)
      return readers
    })
    expect(retained).toBeLessThan(4 * MIB)
  })

  it('may be any bytes', () => {
    const types = fc.constantFrom(
      'moov',
      'trak',
      'mdia',
      'minf',
      'stbl',
      'stsd',
      'mvhd',
      'tkhd',
      'hdlr',
      'tref',
    )
    const { any } = fc.letrec<{ any: Buffer }>((tie) => ({
      any: fc.oneof(
        { depthSize: 'medium' },
        fc.uint8Array({ maxLength: 120 }).map((bytes) => Buffer.from(bytes)),
        fc.tuple(types, fc.array(tie('any'), { maxLength: 4 })).map(([type, parts]) => box(type, ...parts)),
      ),
    }))
    fc.assert(
      fc.property(fc.array(any), fc.boolean(), (parts, isMovie) => {
        const bytes = isMovie ? box('moov', ...parts) : Buffer.concat(parts)
        const { facts } = readBytes(MP4, bytes, 13)
        expectSane(facts)
        expect(readBytes(MP4, bytes).facts).toEqual(facts)
      }),
      { numRuns: 500 },
    )
  })
})

function boxHeader(type: string, size: number): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32BE(size)
  header.write(type, 4, 'latin1')
  return header
}

function longHeader(type: string, size: bigint): Buffer {
  const length = Buffer.alloc(8)
  length.writeBigUInt64BE(size)
  return Buffer.concat([boxHeader(type, 1), length])
}

function box(type: string, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([boxHeader(type, 8 + content.length), content])
}

function movieHeader(version: 0 | 1, timescale: number, duration: bigint): Buffer {
  const fields = Buffer.alloc(version === 1 ? 112 : 100)
  fields.writeUInt8(version)
  fields.writeUInt32BE(timescale, version === 1 ? 20 : 12)
  if (version === 1) fields.writeBigUInt64BE(duration, 24)
  else fields.writeUInt32BE(Number(duration), 16)
  return box('mvhd', fields)
}

function videoTrack(width: number, height: number): Buffer {
  return track('vide', sampleDescription(width, height))
}

function track(handler: string, description: Buffer): Buffer {
  const kind = Buffer.alloc(25)
  kind.write(handler, 8)
  return box('trak', box('mdia', box('hdlr', kind), box('minf', box('stbl', description))))
}

function sampleDescription(width: number, height: number, type = 'avc1'): Buffer {
  const entry = Buffer.alloc(78)
  entry.writeUInt16BE(width, 24)
  entry.writeUInt16BE(height, 26)
  return box('stsd', Buffer.from([0, 0, 0, 0, 0, 0, 0, 1]), box(type, entry))
}

function counted(count: number): Buffer {
  const numbers = Buffer.alloc(4 * count)
  for (let index = 0; index < count; index += 1) numbers.writeUInt32BE(index, 4 * index)
  return numbers
}

/** Sets the matrix of the first box of a type, which has to be of version 0. */
function setMatrix(bytes: Buffer, type: 'mvhd' | 'tkhd', matrix: readonly number[]): void {
  const at = bytes.indexOf(type) + 4 + (type === 'mvhd' ? 36 : 40)
  for (const [index, value] of matrix.entries()) bytes.writeInt32BE(value, at + index * 4)
}

/** The offset behind `moov`. */
function endOfIndex(bytes: Buffer): number {
  const at = bytes.indexOf('moov') - 4
  return at + bytes.readUInt32BE(at)
}
