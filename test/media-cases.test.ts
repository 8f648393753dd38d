import sharp from 'sharp'
import { DetailedError } from 'tus-js-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MEDIA_CASES, type MediaCase } from './fixtures/media-cases.ts'
import { requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { process } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')
const heif = requires('heif')

const cases = MEDIA_CASES.map((one) => [one.what, one] as const)

describe.skipIf(!ffmpeg.met || !clamd.met || !heif.met)('a file as people have it', () => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ env: { UPLOAD_MIN_SIZE: '1', MEDIA_MAX_DURATION: '30s' } })
  })
  afterAll(() => landfall?.close())

  it.each(cases)('%s', async (_what, one) => {
    const { status, ...expected } = one.expected
    const media = await send(one)
    expect(media.reason, JSON.stringify(media.reason)).toEqual(
      status === 'ready' ? null : expect.objectContaining({ code: expected.code }),
    )
    expect(media.status).toBe(status)
    if (status !== 'ready') return
    for (const [fact, value] of Object.entries(expected)) expectFact(media[fact], value, fact)
    await expectRenditions(media, one.renditions ?? {})
    if (one.thumbnail) await expectThumbnail(media, one.thumbnail)
  })

  type Media = { status: string; reason: unknown; [fact: string]: unknown }

  async function send({ make, declared, name }: MediaCase): Promise<Media> {
    const made = await make()
    const contentType = declared === undefined ? made.contentType : (declared ?? '')
    const file = { ...made, name: name ?? made.name, contentType }
    try {
      return await process(landfall, 'alice', file)
    } catch (error) {
      // Rejected by its first bytes.
      const answer = error instanceof DetailedError ? error.originalResponse?.getBody() : undefined
      if (answer === undefined) throw error
      return { ...(JSON.parse(answer) as { reason: unknown }), status: 'rejected' }
    }
  }

  function expectFact(found: unknown, value: unknown, fact: string): void {
    if (typeof value === 'object' && value !== null && 'near' in value)
      expect(Math.abs(Number(found) - Number(value.near)), `${fact}: ${found}`).toBeLessThan(0.15)
    else expect(found, fact).toEqual(value)
  }

  async function expectRenditions(
    media: Media,
    { has = [], lacks = [] }: NonNullable<MediaCase['renditions']>,
  ) {
    for (const wanted of has) {
      const [kind, size] = wanted.split(' ')
      const url = media[`${kind}Url`]
      expect(url, wanted).toEqual(expect.any(String))
      if (size !== undefined) expect(await sizeAt(String(url)), wanted).toBe(size)
    }
    for (const kind of lacks) expect(media[`${kind}Url`], kind).toBeNull()
  }

  async function expectThumbnail(
    { thumbnailUrl }: Media,
    { contrast = 0, colour = 0 }: NonNullable<MediaCase['thumbnail']>,
  ) {
    const seen = sharp(await bytesAt(String(thumbnailUrl))).removeAlpha()
    const { channels } = await seen.clone().greyscale().stats()
    expect(channels[0]?.stdev, 'contrast').toBeGreaterThanOrEqual(contrast)
    const pixels = await seen.raw().toBuffer()
    let sum = 0
    for (let at = 0; at < pixels.length; at += 3) {
      const rgb = pixels.subarray(at, at + 3)
      sum += Math.max(...rgb) - Math.min(...rgb)
    }
    expect(sum / (pixels.length / 3), 'colour').toBeGreaterThanOrEqual(colour)
  }

  async function sizeAt(url: string): Promise<string> {
    const { width, height } = await sharp(await bytesAt(url)).metadata()
    return `${width}x${height}`
  }

  async function bytesAt(url: string): Promise<ArrayBuffer> {
    return await (await fetch(new URL(url, landfall.url))).arrayBuffer()
  }
})
