import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { shortVideo } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { exampleWith, runExample } from './support/doc-examples.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { APP, follow, KEYS, nowSeconds, signedByApplication, walked } from './support/links.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { inTenant } from './support/tenant.ts'
import { createId, patch } from './support/tus.ts'
import { type MediaJson, process } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const DAY_SECONDS = 86_400
/** Encoding takes a while where other tests run beside it. */
const PATIENTLY = { timeout: 120_000, interval: 100 }
vi.setConfig({ testTimeout: 60_000, hookTimeout: 180_000 })

describe.skipIf(!ffmpeg.met)('a link that an application has signed', () => {
  let landfall: Landfall
  let video: MediaJson

  beforeAll(async () => {
    landfall = await startLandfall({
      env: { SCAN: 'off', DEEP_CHECK: 'off', HLS: 'on', LINK_SIGNING_KEYS: KEYS },
    })
    video = await process(landfall, 'alice', await shortVideo())
    const hls = async () => (await (await landfall.as('alice')(`/api/v1/media/${video.id}`)).json()).hlsUrl
    await vi.waitUntil(async () => (await hls()) !== null, PATIENTLY)
  })
  afterAll(() => landfall?.close())

  const path = (target = 'content', media = video) => `/api/v1/media/${media.id}/${target}`

  it('opens every target of a ready media item, and not the source', async () => {
    for (const target of [
      'content',
      'thumbnail',
      'storyboard',
      'storyboard.vtt',
      'waveform',
      'hls.m3u8',
      'hls/1.m3u8',
      'hls/1.mp4',
    ])
      expect([target, await follow(landfall, signedByApplication(path(target)))]).toEqual([target, [200]])
    expect(await follow(landfall, signedByApplication(path('source')))).toEqual([401, 'token-invalid'])
    expect(await follow(landfall, signedByApplication(path('')))).toEqual([404, 'not-found'])
  })

  it('is signed as docs/api.md shows it', async () => {
    const example = exampleWith('docs/api.md', 'function signLink')
    const { signLink } = await runExample(example, landfall.url)
    const key = { key: APP.id, secret: APP.secret, ttlSeconds: 60 }
    const filename = "Ü (1)*!'.mp4"
    for (const target of ['content', 'thumbnail', 'storyboard.vtt', 'waveform', 'hls.m3u8'])
      for (const more of [{}, { filename }, { disposition: 'attachment', filename }]) {
        const url = String(signLink?.(video.id, target, { ...key, ...more }))
        expect([url, await follow(landfall, url)]).toEqual([url, [200]])
      }
    const long = String(signLink?.(video.id, 'content', { ...key, ttlSeconds: 8 * DAY_SECONDS }))
    expect(await follow(landfall, long)).toEqual([401, 'token-invalid'])
  })

  it.each(['hls.m3u8', 'storyboard.vtt'])('gives all parts of %s the same end', async (target) => {
    const expires = nowSeconds() + 600
    const all = await walked(landfall, signedByApplication(path(target), { expires }))
    expect(all.length).toBeGreaterThan(target === 'hls.m3u8' ? 2 : 1)
    for (const { searchParams } of all)
      expect([searchParams.get('key'), searchParams.get('expires')]).toEqual([APP.id, String(expires)])
    for (const part of all)
      expect([part.pathname, await follow(landfall, part.href)]).toEqual([part.pathname, [200]])
  })

  it('lets no cache keep content beyond its expiry', async () => {
    for (const target of ['content', 'thumbnail', 'waveform', 'hls.m3u8']) {
      const url = signedByApplication(path(target), { expires: nowSeconds() + 100 })
      const { headers } = await fetch(new URL(url, landfall.url), { method: 'HEAD' })
      const [, maxAge] = /^private, max-age=(\d+)$/.exec(headers.get('Cache-Control') ?? '') ?? []
      expect(Number(maxAge)).toBeLessThanOrEqual(100)
      expect(Number(maxAge)).toBeGreaterThan(50)
    }
  })

  it('says how the file is shown and called', async () => {
    const more = '&disposition=attachment&filename=Lesson%20%281%29.mp4'
    const answer = await fetch(new URL(signedByApplication(path(), { more }), landfall.url))
    await answer.body?.cancel()
    expect(answer.headers.get('Content-Disposition')).toBe('attachment; filename="Lesson (1).mp4"')
    for (const bad of ['&disposition=other', '&filename=a.exe', '&filename=..%2F'])
      expect(await follow(landfall, signedByApplication(path(), { more: bad }))).toEqual([
        400,
        'invalid-request',
      ])
  })

  it.each<[string, Parameters<typeof signedByApplication>[1], string]>([
    ['it has expired', { expires: nowSeconds() - 1 }, 'token-expired'],
    ['it is valid for too long', { expires: nowSeconds() + 7 * DAY_SECONDS + 3600 }, 'token-invalid'],
    ['its key is another one', { secret: 'x'.repeat(40) }, 'token-invalid'],
    ['its key is not known', { key: 'other' }, 'token-invalid'],
    ['it names a row', { more: '&link=lnk_AAAAAAAAAAAAAAAAAAAAAA' }, 'token-invalid'],
    ['it is signed in another order', { more: '&filename=a.mp4&disposition=inline' }, 'token-invalid'],
  ])('is refused when %s', async (_why, options, code) => {
    expect(await follow(landfall, signedByApplication(path(), options))).toEqual([401, code])
  })
})

describe('keys of applications, and tenants', () => {
  it('open media items of their own tenant only', async () => {
    const keys = `acme/acme-app:${'a'.repeat(32)} globex/globex-app:${'b'.repeat(32)},plain:${'c'.repeat(32)}`
    const landfall = await startLandfall({
      env: { SCAN: 'off', AUTH_TENANT: 'optional', LINK_SIGNING_KEYS: keys },
      withoutWorker: true,
    })
    try {
      const readyIn = async (tenant: string | null): Promise<string> => {
        const bytes = asJpeg(Buffer.alloc(2000, 'x'))
        const target = inTenant(landfall, tenant)
        const id = await createId(target, 'alice', { size: bytes.length })
        const sent = await patch(target, 'alice', id, { offset: 0, body: bytes })
        const media = sent.headers.get('Upload-Media-Id') ?? ''
        await sql`update landfall.media set status = 'ready' where id = ${media}`.execute(landfall.db)
        return media
      }
      for (const tenant of ['acme', 'globex', null]) {
        const media = await readyIn(tenant)
        const seen: [string, number][] = []
        for (const [key, secret] of [
          ['acme-app', 'a'],
          ['globex-app', 'b'],
          ['plain', 'c'],
        ] as const) {
          const options = { key, secret: secret.repeat(32) }
          const url = signedByApplication(`/api/v1/media/${media}/content`, options)
          seen.push([key, (await follow(landfall, url))[0] === 404 ? 404 : 200])
        }
        const own = tenant === null ? 'plain' : `${tenant}-app`
        expect(seen).toEqual(['acme-app', 'globex-app', 'plain'].map((key) => [key, key === own ? 200 : 404]))
      }
    } finally {
      await landfall.close()
    }
  })
})
