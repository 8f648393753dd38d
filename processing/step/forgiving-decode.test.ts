import sharp from 'sharp'
import { beforeAll, describe, expect, it } from 'vitest'
import { decodeForgivingly } from './forgiving-decode.ts'

const noise = { type: 'gaussian', mean: 128, sigma: 60 } as const
const photo = () =>
  sharp({ create: { width: 640, height: 480, channels: 3, background: '#456', noise } }).blur(2)

const decode = (bytes: Buffer, contentType: string) =>
  decodeForgivingly(
    async (input, failOn) =>
      (await sharp(input, { failOn }).raw().toBuffer({ resolveWithObject: true })).info.width,
    bytes,
    { contentType, size: bytes.length, whole: async () => bytes },
  )

describe.each([
  ['a JPEG', 'image/jpeg', () => photo().jpeg(), 2],
  ['a progressive JPEG', 'image/jpeg', () => photo().jpeg({ progressive: true }), 2],
  ['a GIF', 'image/gif', () => photo().gif(), 1],
])('%s', (_what, type, make, endBytes) => {
  let bytes: Buffer

  beforeAll(async () => {
    bytes = await make().toBuffer()
  })

  it('is decoded, also without its end marker and with padding behind it', async () => {
    expect(await decode(bytes, type)).toBe(640)
    expect(await decode(bytes.subarray(0, -endBytes), type)).toBe(640)
    expect(await decode(Buffer.concat([bytes, Buffer.alloc(4096)]), type)).toBe(640)
  })

  it('is not, without a part of its data', async () => {
    const cut = bytes.subarray(0, bytes.length / 2)
    await expect(decode(cut, type)).rejects.toThrow()
    const hole = Buffer.from(bytes)
    hole.fill(0, Math.floor(bytes.length / 2), bytes.length - 200)
    await expect(decode(hole, type)).rejects.toThrow()
  })
})

describe('a JPEG of a camera', () => {
  it('is decoded with some bytes between its data and its end', async () => {
    const bytes = await photo().jpeg().toBuffer()
    const padded = (count: number) =>
      Buffer.concat([bytes.subarray(0, -2), Buffer.alloc(count, 0x55), bytes.subarray(-2)])
    expect(await decode(padded(100), 'image/jpeg')).toBe(640)
  })
})
