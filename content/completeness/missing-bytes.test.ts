import { readFile } from 'node:fs/promises'
import sharp from 'sharp'
import { beforeAll, describe, expect, it } from 'vitest'
import { type Fixture, jpeg, madeByFfmpeg } from '../../test/fixtures/media.ts'
import { requires } from '../../test/services/requirements.ts'
import { FileView } from '../file-view.ts'
import { FORMATS } from '../formats.ts'
import { findShortfall } from './missing-bytes.ts'

const ffmpeg = requires('ffmpeg')

async function shortfall(contentType: string, bytes: Buffer): Promise<string | undefined> {
  const format = FORMATS.find((one) => one.contentType === contentType)
  if (!format) throw new Error(`there is no format of the type ${contentType}`)
  const read = async (start: number, end: number) => bytes.subarray(start, end + 1)
  return await findShortfall(format, new FileView(bytes.length, read))
}

const tone = ['-f', 'lavfi', '-i', 'sine=frequency=440:duration=20']
const picture = ['-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=10:duration=20']

const MADE: [name: string, contentType: string, args: string[]][] = [
  ['tone.wav', 'audio/wav', tone],
  ['long.wav', 'audio/wav', [...tone, '-rf64', 'always']],
  ['tone.mp3', 'audio/mpeg', [...tone, '-c:a', 'libmp3lame', '-b:a', '128k']],
  ['tagged.mp3', 'audio/mpeg', [...tone, '-metadata', 'title=Tone', '-c:a', 'libmp3lame', '-b:a', '128k']],
  ['variable.mp3', 'audio/mpeg', [...tone, '-c:a', 'libmp3lame', '-q:a', '4', '-ac', '1', '-ar', '22050']],
  ['tone.opus', 'audio/ogg', [...tone, '-c:a', 'libopus']],
  ['tone.ogg', 'audio/ogg', [...tone, '-c:a', 'libvorbis']],
  ['picture.avi', 'video/x-msvideo', [...picture, ...tone, '-c:v', 'mpeg4', '-c:a', 'libmp3lame']],
]

describe.skipIf(!ffmpeg.met).each(MADE)('%s', (name, contentType, args) => {
  let file: Fixture
  let bytes: Buffer

  beforeAll(async () => {
    file = await madeByFfmpeg(`whole-${name}`, args)
    bytes = await readFile(file.path)
  })

  it('is complete as it is, and with padding or a tag behind it', async () => {
    expect(await shortfall(contentType, bytes)).toBeUndefined()
    expect(await shortfall(contentType, Buffer.concat([bytes, Buffer.alloc(5000)]))).toBeUndefined()
  })

  it('is not complete without its last part', async () => {
    for (const part of [0.3, 0.6, 0.9])
      expect(await shortfall(contentType, bytes.subarray(0, Math.floor(bytes.length * part)))).toEqual(
        expect.any(String),
      )
  })
})

describe('a sound whose recorder did not know its length', () => {
  it.each([0, 0x7ffff000, 0x80000024, 0xffffffff])('is as long as it is: %i', async (size) => {
    const bytes = Buffer.alloc(4096, 1)
    bytes.write('RIFF', 0)
    bytes.writeUInt32LE(size, 4)
    bytes.write('WAVEfmt ', 8)
    expect(await shortfall('audio/wav', bytes)).toBeUndefined()
  })
})

describe('a picture', () => {
  const noise = { type: 'gaussian', mean: 128, sigma: 60 } as const
  const photo = () =>
    sharp({ create: { width: 640, height: 480, channels: 3, background: '#456', noise } }).blur(2)
  const flat = () => sharp({ create: { width: 3000, height: 2000, channels: 3, background: '#fff' } })
  const zeroed = (bytes: Buffer) =>
    Buffer.concat([bytes.subarray(0, bytes.length / 2), Buffer.alloc(bytes.length / 2)])

  it.each([
    ['image/jpeg', () => photo().jpeg()],
    ['image/jpeg', () => photo().jpeg({ progressive: true })],
    ['image/webp', () => photo().webp()],
    ['image/webp', () => photo().webp({ lossless: true })],
    ['image/gif', () => photo().gif()],
  ])('as %s (%#) is complete as it is, and not with its second half zeroed', async (type, make) => {
    const bytes = await make().toBuffer()
    expect(await shortfall(type, bytes)).toBeUndefined()
    expect(await shortfall(type, zeroed(bytes))).toEqual(expect.any(String))
  })

  it.each([
    ['image/jpeg', () => flat().jpeg()],
    ['image/jpeg', () => flat().jpeg({ mozjpeg: true })],
    ['image/webp', () => flat().webp()],
    ['image/gif', () => flat().gif()],
  ])('of one colour as %s (%#) is complete, although much of it is zeros', async (type, make) => {
    expect(await shortfall(type, await make().toBuffer())).toBeUndefined()
  })

  it('is complete without its end marker', async () => {
    const { path } = await jpeg({ width: 640, height: 480 })
    expect(await shortfall('image/jpeg', (await readFile(path)).subarray(0, -2))).toBeUndefined()
    expect(await shortfall('image/gif', (await photo().gif().toBuffer()).subarray(0, -1))).toBeUndefined()
  })

  it('as GIF is not complete when it ends within one of its frames', async () => {
    const frames = await Promise.all(
      [1, 2, 3].map((n) =>
        photo()
          .modulate({ brightness: n / 2 })
          .png()
          .toBuffer(),
      ),
    )
    const bytes = await sharp(frames, { join: { animated: true } })
      .gif()
      .toBuffer()
    expect(await shortfall('image/gif', bytes)).toBeUndefined()
    for (const part of [0.2, 0.5, 0.9])
      expect(await shortfall('image/gif', bytes.subarray(0, Math.floor(bytes.length * part)))).toEqual(
        'one of its frames is cut off',
      )
  })
})
