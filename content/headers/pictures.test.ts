import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { headerReaderFor } from './header-reader.ts'

const SIZE = { width: 1234, height: 567 }
const image = () => sharp({ create: { ...SIZE, channels: 3, background: '#468' } })

function read(contentType: string, bytes: Uint8Array, chunkBytes: number) {
  const reader = headerReaderFor(contentType)
  if (!reader) throw new Error(`no reader for ${contentType}`)
  let pushed = 0
  for (; pushed < bytes.length && !reader.isDone; pushed += chunkBytes)
    reader.push(bytes.subarray(pushed, pushed + chunkBytes))
  return { facts: reader.facts, isDone: reader.isDone }
}

describe.each([
  ['image/jpeg', () => image().jpeg()],
  [
    'image/jpeg',
    () =>
      image()
        .jpeg({ progressive: true })
        .withExif({ IFD0: { Copyright: 'x'.repeat(30_000) } }),
  ],
  ['image/png', () => image().png()],
  ['image/webp', () => image().webp()],
  ['image/webp', () => image().webp({ lossless: true })],
  ['image/webp', () => image().ensureAlpha(0.5).webp()],
  ['image/avif', () => image().avif({ effort: 0 })],
])('the header of an image (%s, %#)', (contentType, make) => {
  it.each([1, 7, 100_000])('tells its size, in chunks of %i bytes', async (chunkBytes) => {
    expect(read(contentType, await make().toBuffer(), chunkBytes)).toMatchObject({
      isDone: true,
      facts: { pictures: [SIZE] },
    })
  })

  it('tells nothing where it makes no sense', async () => {
    const bytes = Buffer.from(await make().toBuffer())
    bytes.fill(0, 2, 40)
    const { facts } = read(contentType, bytes, 1000)
    for (const { width, height } of facts.pictures) expect(width * height).toBeLessThan(100)
  })
})

describe('a JPEG', () => {
  it.each([
    ['fill bytes without an end', Buffer.concat([Buffer.from([0xff, 0xd8]), Buffer.alloc(50_000, 0xff)])],
    ['a segment of no length', Buffer.from('ffd8ffe00000ffc0', 'hex')],
  ])('of %s is given up', (_what, bytes) => {
    expect(read('image/jpeg', bytes, 4096)).toMatchObject({ isDone: true, facts: { pictures: [] } })
  })
})
