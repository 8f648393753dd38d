import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import sharp from 'sharp'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { jpeg, png } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { describeStorages } from './support/storages.ts'
import { process } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')

describeStorages.skipIf(!ffmpeg.met || !clamd.met)('a file, all the way through', (storage) => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ storage })
  })
  afterAll(() => landfall?.close())

  it.each([
    ['jpeg', jpeg, 'image/jpeg'],
    ['png', png, 'image/png'],
  ] as const)('makes a %s ready with a thumbnail', async (_name, make, contentType) => {
    const file = await make({ width: 1600, height: 900 })
    const media = await process(landfall, 'alice', file)
    expect(media).toMatchObject({
      status: 'ready',
      kind: 'image',
      contentType,
      width: 1600,
      height: 900,
      sha256: file.sha256,
    })
    const thumbnail = await fetch(new URL(media.thumbnailUrl, landfall.url))
    expect(await sharp(await thumbnail.arrayBuffer()).metadata()).toMatchObject({ width: 640, height: 360 })
  })

  it('is where GET on its upload leads to', async () => {
    const file = await jpeg({ width: 1600, height: 900 })
    const { uploadId } = await process(landfall, 'alice', file)
    const answer = await landfall.as('alice')(`/files/${uploadId}`, { redirect: 'manual' })
    expect([answer.status, answer.headers.get('Cache-Control')]).toEqual([303, 'no-store'])
    const content = await fetch(new URL(answer.headers.get('Location') ?? '', landfall.url))
    expect(sha256(await content.arrayBuffer())).toBe(file.sha256)
  })

  it('serves the content byte for byte, whole and in ranges', async () => {
    const file = await jpeg({ width: 1600, height: 900 })
    const bytes = await readFile(file.path)
    const media = await process(landfall, 'alice', file)
    const get = (headers: Record<string, string>) =>
      landfall.as('alice')(`/api/v1/media/${media.id}/content`, { headers })

    const whole = await get({})
    expect(whole.status).toBe(200)
    expect(whole.headers.get('X-Content-Type-Options')).toBe('nosniff')
    expect(sha256(await whole.arrayBuffer())).toBe(file.sha256)

    const part = await get({ Range: 'bytes=10-19' })
    expect(part.status).toBe(206)
    expect(part.headers.get('Content-Range')).toBe(`bytes 10-19/${file.size}`)
    expect(Buffer.from(await part.arrayBuffer())).toEqual(bytes.subarray(10, 20))

    const tail = await get({ Range: 'bytes=-5' })
    expect(Buffer.from(await tail.arrayBuffer())).toEqual(bytes.subarray(-5))

    expect((await get({ Range: `bytes=${file.size}-` })).status).toBe(416)
    const etag = whole.headers.get('ETag') ?? ''
    expect((await get({ 'If-None-Match': etag })).status).toBe(304)
    expect((await get({ Range: 'bytes=0-1', 'If-Range': '"another"' })).status).toBe(200)
  })
})

function sha256(bytes: ArrayBuffer): string {
  return createHash('sha256').update(new Uint8Array(bytes)).digest('hex')
}
