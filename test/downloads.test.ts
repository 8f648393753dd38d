import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { jpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { asMediaId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import type { ProblemJson } from './support/raw-http.ts'
import { type S3Landfall, startS3Landfall } from './support/s3-landfall.ts'
import { describeStorages } from './support/storages.ts'
import { storedInBucket } from './support/stored.ts'
import { type MediaJson, process } from './support/uploads.ts'

const ceph = requires('ceph')
const TARGETS = ['content', 'thumbnail'] as const
const aPicture = () => jpeg({ width: 1600, height: 900 })

describeStorages('downloads through the server', (storage) => {
  let landfall: Landfall
  let media: MediaJson
  beforeAll(async () => {
    landfall = await startLandfall({ storage, env: { SCAN: 'off' } })
    media = await process(landfall, 'alice', await aPicture())
  })
  afterAll(() => landfall?.close())

  const setType = (content_type: string | null) =>
    landfall.db
      .updateTable('landfall.media')
      .set({ content_type })
      .where('id', '=', asMediaId(media.id))
      .execute()
  const get = (target: string, headers: Record<string, string> = {}, method = 'GET') =>
    landfall.as('alice')(`/api/v1/media/${media.id}/${target}`, { headers, method })

  it.each(TARGETS)('give the %s in ranges, and nothing to who has it already', async (target) => {
    const whole = await get(target)
    expect(whole.status).toBe(200)
    const bytes = Buffer.from(await whole.arrayBuffer())
    expect(whole.headers.get('X-Content-Type-Options')).toBe('nosniff')
    const name = target === 'content' ? `; filename=${media.filename}` : ''
    expect(whole.headers.get('Content-Disposition')).toBe(`inline${name}`)
    const etag = whole.headers.get('ETag') ?? ''

    const part = await get(target, { Range: 'bytes=10-19', 'If-Range': etag })
    expect([part.status, part.headers.get('Content-Range')]).toEqual([206, `bytes 10-19/${bytes.length}`])
    expect(Buffer.from(await part.arrayBuffer())).toEqual(bytes.subarray(10, 20))
    expect((await get(target, { 'If-None-Match': etag })).status).toBe(304)
    expect((await get(target, { Range: `bytes=${bytes.length}-` })).status).toBe(416)
    const head = await get(target, {}, 'HEAD')
    expect([head.status, head.headers.get('Content-Length')]).toEqual([200, String(bytes.length)])
  })

  it.each(['text/html', 'image/svg+xml', 'text/xml', null])('never let a browser run %s', async (type) => {
    await setType(type)
    const answer = await get('content')
    await answer.body?.cancel()
    const named = ['Content-Type', 'Content-Disposition', 'X-Content-Type-Options']
    expect(named.map((name) => answer.headers.get(name))).toEqual([
      'application/octet-stream',
      `attachment; filename=${media.filename}`,
      'nosniff',
    ])
    await setType('image/jpeg')
  })

  it('are saved under their own type where that is one of documents', async () => {
    await setType('application/pdf')
    const answer = await get('content')
    await answer.body?.cancel()
    expect(answer.headers.get('Content-Type')).toBe('application/pdf')
    expect(answer.headers.get('Content-Disposition')).toBe(`attachment; filename=${media.filename}`)
    await setType('image/jpeg')
  })

  it('of bytes that are gone are an outage, told without a word of the content', async () => {
    const other = await process(landfall, 'alice', await jpeg({ width: 800, height: 600 }))
    await landfall.stored.lose(`uploads/${other.uploadId}`)
    const answer = await landfall.as('alice')(`/api/v1/media/${other.id}/content`)
    expect(answer.status).toBe(503)
    expect(answer.headers.get('Retry-After')).not.toBeNull()
    for (const name of ['ETag', 'Content-Disposition', 'Accept-Ranges']) {
      expect(answer.headers.get(name)).toBeNull()
    }
    const problem = (await answer.json()) as ProblemJson
    expect(problem.code).toBe('unavailable')
    expect(JSON.stringify(problem)).not.toContain(other.uploadId)
  })
})

describe.skipIf(!ceph.met)('downloads from a bucket', () => {
  let landfall: S3Landfall
  let media: MediaJson
  beforeAll(async () => {
    landfall = await startS3Landfall({ env: { SCAN: 'off' } })
    media = await process(landfall, 'alice', await aPicture())
  })
  afterAll(() => landfall?.close())

  it('come whole although connections to the bucket break', async () => {
    const fault = landfall.proxy.fail({ what: 'truncate', when: isGet, times: 3 })
    const answer = await landfall.as('alice')(`/api/v1/media/${media.id}/content`)
    const bytes = Buffer.from(await answer.arrayBuffer())
    expect(bytes.equals(await storedInBucket(landfall.bucket).bytes(`uploads/${media.uploadId}`))).toBe(true)
    expect(fault.hits).toBe(3)
  })

  it('are never of another object than the one that was scanned', async () => {
    const other = await process(landfall, 'alice', await jpeg({ width: 800, height: 600 }))
    await storedInBucket(landfall.bucket).replace(
      `uploads/${other.uploadId}`,
      Buffer.from('<script>alert(1)</script>'),
    )
    const answer = await landfall.as('alice')(`/api/v1/media/${other.id}/content`)
    expect([answer.status, ((await answer.json()) as ProblemJson).code]).toEqual([503, 'unavailable'])
  })

  it('leave no connection to the bucket behind when clients leave', async () => {
    const slow = landfall.proxy.fail({ what: 'slow', bytesPerSecond: 5_000, when: isGet })
    const { hostname, port } = new URL(landfall.url)
    landfall.proxy.reset()
    for (let n = 1; n <= 20; n++) {
      const socket = connect(Number(port), hostname)
      await once(socket, 'connect')
      socket.write(`GET ${media.contentUrl} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`)
      if (n % 2 === 0) await once(socket, 'data')
      socket.destroy()
      await once(socket, 'close')
    }
    await expect
      .poll(() => landfall.proxy.calls.filter(({ endedAt }) => endedAt === undefined), { timeout: 10_000 })
      .toEqual([])
    slow.stop()
  })
})

describe.skipIf(!ceph.met)('downloads by redirect', () => {
  let landfall: S3Landfall
  let media: MediaJson
  beforeAll(async () => {
    landfall = await startS3Landfall({ env: { SCAN: 'off', DOWNLOADS: 'redirect' } })
    media = await process(landfall, 'alice', await aPicture())
  })
  afterAll(() => landfall?.close())

  const linkOf = (target: (typeof TARGETS)[number]) =>
    new URL(target === 'content' ? media.contentUrl : media.thumbnailUrl, landfall.url)

  it.each(TARGETS)('send clients to the bucket for the %s, by links and with tokens', async (target) => {
    const byToken = await landfall.as('alice')(`/api/v1/media/${media.id}/${target}`, { redirect: 'manual' })
    const byLink = await fetch(linkOf(target), { redirect: 'manual' })
    for (const answer of [byToken, byLink]) {
      expect(answer.status).toBe(307)
      const named = ['Cache-Control', 'X-Content-Type-Options', 'ETag'].map((name) =>
        answer.headers.get(name),
      )
      expect(named).toEqual(['no-store', 'nosniff', null])
      expect(new URL(answer.headers.get('Location') ?? '').origin).toBe(landfall.proxy.url)
      expect(await answer.text()).toBe('')
    }
  })

  it('lead to the bytes, in ranges, with our type and disposition', async () => {
    const bytes = await storedInBucket(landfall.bucket).bytes(`uploads/${media.uploadId}`)
    const whole = await fetch(linkOf('content'))
    expect(Buffer.from(await whole.arrayBuffer()).equals(bytes)).toBe(true)
    const part = await fetch(linkOf('content'), { headers: { Range: 'bytes=5-9' } })
    expect(Buffer.from(await part.arrayBuffer())).toEqual(bytes.subarray(5, 10))
    for (const { headers } of [whole, part]) {
      expect([headers.get('Content-Type'), headers.get('Content-Disposition')]).toEqual([
        'image/jpeg',
        `inline; filename=${media.filename}`,
      ])
    }
    const picture = await fetch(linkOf('thumbnail'))
    expect([picture.status, picture.headers.get('Content-Type')]).toEqual([200, 'image/webp'])
    await picture.body?.cancel()
  })

  it('answer HEAD alike, and the address is one for HEAD', async () => {
    const first = await fetch(linkOf('content'), { method: 'HEAD', redirect: 'manual' })
    expect(first.status).toBe(307)
    const followed = await fetch(linkOf('content'), { method: 'HEAD' })
    expect([followed.status, followed.headers.get('Content-Length')]).toEqual([200, String(media.size)])
  })

  it('are for who may see the media only', async () => {
    const { id } = media
    const stranger = await landfall.as('mallory')(`/api/v1/media/${id}/content`, { redirect: 'manual' })
    expect(stranger.status).toBe(404)
    expect((await fetch(`${landfall.url}/api/v1/media/${id}/content`, { redirect: 'manual' })).status).toBe(
      401,
    )
  })

  it('have an end with the media', async () => {
    const other = await process(landfall, 'alice', await jpeg({ width: 800, height: 600 }))
    await landfall.as('alice')(`/api/v1/media/${other.id}`, { method: 'DELETE' })
    const answer = await fetch(new URL(other.contentUrl, landfall.url), { redirect: 'manual' })
    expect(answer.status).toBe(404)
  })
})

const isGet = ({ operation }: { operation: string }) => operation === 'GetObject'
