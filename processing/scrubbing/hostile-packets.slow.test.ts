import { describe, expect, it } from 'vitest'
import { UnreadableInput } from '../tools/tool-errors.ts'
import { aac } from './aac-elements.ts'
import { mjpeg } from './jpeg-segments.ts'
import { mp3 } from './mp3-frames.ts'
import { h264, hevc } from './nal-units.ts'
import { av1 } from './obus.ts'
import { occurrences } from './occurrences.ts'
import { atOnce, type CodecScrub } from './scrub.ts'
import { mpegVideo } from './user-data.ts'
import { Yielder } from './yielding.ts'

const MIB = 1024 * 1024
/** Of processor time. What is linear takes far less; what is not takes hours. */
const MAX_MS = 20_000
/** Of the same, between two moments at which others may have their turn. */
const MAX_TURN_MS = 2_000

const cpuMs = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Scrubs a packet; returns the processor time that it took, and the most between two yields. */
function took(scrub: CodecScrub, packet: Buffer, config = Buffer.alloc(0)): { all: number; turn: number } {
  const begun = cpuMs()
  let [last, turn] = [begun, 0]
  const tick = () => {
    const now = cpuMs()
    turn = Math.max(turn, now - last)
    last = now
  }
  let n = 0
  try {
    // To ask for the time takes longer than most of what is measured.
    for (const _ of scrub.packets?.(config)(packet, 0, () => {}) ?? []) if (++n % 64 === 0) tick()
  } catch (error) {
    if (!(error instanceof UnreadableInput)) throw error
  }
  tick()
  return { all: last - begun, turn }
}

const repeated = (hex: string, bytes: number) => Buffer.alloc(bytes, Buffer.from(hex, 'hex'))
const withLength = (unit: Buffer): Buffer => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(unit.length)
  return Buffer.concat([length, unit])
}
const message = (type: number, payload: Buffer) => {
  const sizes = Buffer.alloc(Math.floor(payload.length / 255) + 1, 0xff)
  sizes[sizes.length - 1] = payload.length % 255
  return Buffer.concat([Buffer.of(type), sizes, payload])
}
const escaped = (bytes: Buffer) => {
  const out: number[] = []
  let zeros = 0
  for (const byte of bytes) {
    if (zeros >= 2 && byte <= 3) {
      out.push(3)
      zeros = 0
    }
    out.push(byte)
    zeros = byte === 0 ? zeros + 1 : 0
  }
  return Buffer.from(out)
}
const AVC = Buffer.from('0142c00affe00000', 'hex')
const HVCC = Buffer.concat([Buffer.of(1), Buffer.alloc(20), Buffer.of(3, 0)])

/** A message of so many zeros that is kept, and one that is not. */
const zeros = (header: number[], bytes: number, type = 154) => {
  const content = Buffer.concat([
    message(type, Buffer.alloc(bytes)),
    message(5, Buffer.from('secret of the owner')),
  ])
  return Buffer.concat([Buffer.from(header), escaped(content), Buffer.of(0x80)])
}

describe('a packet that somebody has made to take long', () => {
  it.each([
    ['H.264 with a large message of zeros', h264(), withLength(zeros([6], 600_000)), AVC],
    ['H.265 with the same', hevc({ hasDolbyVision: false }), withLength(zeros([78, 1], 600_000, 144)), HVCC],
    [
      'H.264 with many messages',
      h264(),
      withLength(Buffer.concat([Buffer.of(6), repeated('0500', MIB - 2), Buffer.of(0x80)])),
      AVC,
    ],
    ['H.264 with units of nothing', h264(), repeated('00', 8 * MIB), Buffer.from('0142c00afce00000', 'hex')],
    ['H.264 of start codes', h264(), repeated('000001', 8 * MIB), Buffer.alloc(0)],
    [
      'H.264 of one zero behind the other',
      h264(),
      Buffer.concat([repeated('00', 8 * MIB), Buffer.of(1, 6)]),
      Buffer.alloc(0),
    ],
    ['AV1 with units of nothing', av1(), repeated('7a00', 8 * MIB)],
    ['MPEG video of user data', mpegVideo(), repeated('000001b2', 8 * MIB)],
    ['MPEG video of start codes', mpegVideo(), repeated('000001b3', 8 * MIB)],
    [
      'JPEG of empty comments',
      mjpeg(),
      Buffer.concat([Buffer.of(0xff, 0xd8), repeated('fffe0002', 8 * MIB)]),
    ],
    ['JPEG of fill bytes', mjpeg(), Buffer.concat([Buffer.of(0xff, 0xd8), repeated('ff', 8 * MIB)])],
    [
      'JPEG of escaped bytes',
      mjpeg(),
      Buffer.concat([Buffer.from('ffd8ffda0002', 'hex'), repeated('ff00', 8 * MIB)]),
    ],
    ['JPEG of scans', mjpeg(), Buffer.concat([Buffer.of(0xff, 0xd8), repeated('ffda0002', 8 * MIB)])],
    ['AAC of data elements', aac(), repeated('8000', 256 * 1024), Buffer.of(0x12, 0x10)],
    ['AAC of fill elements', aac(), repeated('c0', 256 * 1024), Buffer.of(0x12, 0x10)],
    ['MP3 whose sound begins far before', mp3(), repeated('fff21400ffff'.padEnd(48, '0'), 8 * MIB)],
  ])(
    'takes time with its size alone: %s',
    (_, scrub, packet, config = Buffer.alloc(0)) => {
      const { all, turn } = took(scrub, packet, config)
      expect(all).toBeLessThan(MAX_MS)
      expect(turn).toBeLessThan(MAX_TURN_MS)
    },
    120_000,
  )

  it('is still followed where only what is kept is large, and has nothing of the rest', () => {
    const packet = withLength(zeros([6], 300_000))
    const size = packet.length
    atOnce(h264().packets?.(AVC)(packet, 0, () => {}) ?? [])
    expect(packet).toHaveLength(size)
    expect(packet.includes('secret')).toBe(false)
    // The filler, and then the message that is kept.
    expect(packet.subarray(4, 6)).toEqual(Buffer.of(6, 3))
    expect(packet.indexOf(Buffer.of(154, 255, 255))).toBeGreaterThan(0)
  })

  it('is not looked through where it has an SEI unit of more than a MiB', () => {
    const packet = withLength(zeros([6], MIB))
    expect(() => atOnce(h264().packets?.(AVC)(packet, 0, () => {}) ?? [])).toThrow(/cannot be followed/)
  })
})

describe('the search for a configuration', () => {
  const all = (bytes: Buffer, found: Buffer) =>
    [...occurrences(bytes, found)].filter((at) => at !== undefined)

  it('finds every place', () => {
    expect(all(Buffer.from('aabaaabaab'), Buffer.from('aab'))).toEqual([0, 4, 7])
    expect(all(Buffer.from('abcabcabd'), Buffer.from('abcabd'))).toEqual([3])
    expect(all(Buffer.from('ab'), Buffer.from('abc'))).toEqual([])
  })

  it('takes no longer for what repeats itself', () => {
    const begun = cpuMs()
    const found = Buffer.alloc(256 * 1024)
    found[0] = 1
    expect(all(Buffer.alloc(32 * MIB), found)).toEqual([])
    expect(cpuMs() - begun).toBeLessThan(MAX_MS)
  })
})

describe('long work', () => {
  const forEver = function* () {
    for (;;) yield
  }

  it('lets others have their turn, and ends with its signal', async () => {
    const controller = new AbortController()
    const yielder = new Yielder(controller.signal)
    setImmediate(() => controller.abort(new Error('taken away')))
    await expect(yielder.through(forEver())).rejects.toThrow('taken away')
  })
})
