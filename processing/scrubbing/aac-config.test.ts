import { describe, expect, it } from 'vitest'
import { scrubAacConfig } from './aac-config.ts'
import { aac } from './aac-elements.ts'
import { atOnce } from './scrub.ts'

const SECRET = 'secret of the owner'

/** Bytes of fields, each a number and its bits. */
function bits(...fields: readonly (readonly [value: number, bits: number])[]): Buffer {
  const text = fields.map(([value, count]) => value.toString(2).padStart(count, '0')).join('')
  const padded = text.padEnd(Math.ceil(text.length / 8) * 8, '0')
  return Buffer.from(padded.match(/.{8}/g)?.map((byte) => Number.parseInt(byte, 2)) ?? [])
}
const type = (object: number): [number, number][] =>
  object < 31
    ? [[object, 5]]
    : [
        [31, 5],
        [object - 32, 6],
      ]
const config = (object: number) => bits(...type(object), [4, 4], [2, 4], [0, 3])
/** A list of one pair of channels in front, begun behind so many bits of the byte, with its comment. */
const list: [number, number][] = [
  [0, 4],
  [1, 2],
  [4, 4],
  [1, 4],
  [0, 4],
  [0, 4],
  [0, 2],
  [0, 3],
  [0, 4],
  [0, 1],
  [0, 1],
  [0, 1],
  [1, 1],
  [0, 4],
]
const comment = Buffer.concat([Buffer.of(SECRET.length), Buffer.from(SECRET)])

describe('a configuration of AAC', () => {
  it.each([1, 2, 4])('is followed where the object type is %i', (object) => {
    expect(() => scrubAacConfig(config(object))).not.toThrow()
  })

  it.each([5, 29])('is followed with the extension %i on top of LC alone', (extension) => {
    const on = (object: number) => bits(...type(extension), [7, 4], [2, 4], [4, 4], ...type(object), [0, 3])
    expect(() => scrubAacConfig(on(2))).not.toThrow()
    expect(() => scrubAacConfig(on(39))).toThrow(/object type 39/)
  })

  it.each([3, 6, 17, 19, 20, 22, 23, 39, 42])('is not followed where the object type is %i', (object) => {
    expect(() => scrubAacConfig(config(object))).toThrow(`object type ${object}`)
  })

  it('loses the comment in its list of channels, and nothing else', () => {
    const front = bits([2, 5], [4, 4], [0, 4], [0, 3], ...list)
    const whole = Buffer.concat([front, comment])
    scrubAacConfig(whole)
    expect(whole).toEqual(Buffer.concat([front, Buffer.of(SECRET.length), Buffer.alloc(SECRET.length)]))
  })

  it('is not followed where the comment is longer than it', () => {
    const front = bits([2, 5], [4, 4], [0, 4], [0, 3], ...list)
    expect(() => scrubAacConfig(Buffer.concat([front, Buffer.of(200), Buffer.from(SECRET)]))).toThrow(
      /followed/,
    )
  })
})

describe('a frame of AAC', () => {
  const scrub = (frame: Buffer, configuration: Buffer) =>
    atOnce(aac().packets?.(configuration)(frame, 0, () => {}) ?? [])

  it('loses the comment in its list of channels, and what stands behind that in front of the sound', () => {
    const front = bits([5, 3], ...list)
    const data = Buffer.concat([bits([4, 3], [0, 4], [1, 1], [SECRET.length, 8]), Buffer.from(SECRET)])
    const frame = Buffer.concat([front, comment, data, Buffer.of(0x20, 1, 2, 3)])
    scrub(frame, config(2))
    expect(frame.includes(SECRET)).toBe(false)
    expect(frame.subarray(0, front.length)).toEqual(front)
    expect(frame.subarray(-4)).toEqual(Buffer.of(0x20, 1, 2, 3))
  })

  const adts = (profile: number, blocks: number, payload: Buffer) =>
    Buffer.concat([
      bits(
        [0xfff, 12],
        [0, 1],
        [0, 2],
        [1, 1],
        [profile, 2],
        [4, 4],
        [0, 1],
        [2, 3],
        [0, 4],
        [7 + payload.length, 13],
        [0x7ff, 11],
        [blocks, 2],
      ),
      payload,
    ])
  const note = Buffer.concat([
    bits([4, 3], [0, 4], [1, 1], [SECRET.length, 8]),
    Buffer.from(SECRET),
    Buffer.of(0xe0),
  ])

  it.each([0, 1, 3])('is followed with a header of the profile %i', (profile) => {
    const frame = adts(profile, 0, note)
    scrub(frame, Buffer.alloc(0))
    expect(frame.includes(SECRET)).toBe(false)
  })

  it('is not followed with a header of another profile, nor with one of several blocks', () => {
    expect(() => scrub(adts(2, 0, note), Buffer.alloc(0))).toThrow(/object type 3/)
    expect(() => scrub(adts(1, 1, note), Buffer.alloc(0))).toThrow(/several blocks/)
  })
})
