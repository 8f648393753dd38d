import { createHmac } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { prune } from '../jobs/upkeep/pruner.ts'
import { ContentLinks } from '../server/auth/content-links.ts'
import { linkKey } from '../storage/signed-path.ts'
import { jpeg, shortVideo } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { asMediaId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import {
  follow,
  give,
  type Kind,
  type LinkJson,
  nowSeconds,
  order,
  revoke,
  told,
  walked,
} from './support/links.ts'
import { startS3Landfall } from './support/s3-landfall.ts'
import { describeStorages } from './support/storages.ts'
import { inTenant } from './support/tenant.ts'
import { type MediaJson, process } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const ceph = requires('ceph')
const KINDS: readonly Kind[] = ['content', 'thumbnail', 'storyboard', 'waveform', 'hls']
const DAY_SECONDS = 86_400
/** Encoding takes a while where other tests run beside it. */
const PATIENTLY = { timeout: 120_000, interval: 100 }
vi.setConfig({ testTimeout: 60_000, hookTimeout: 180_000 })

describeStorages.skipIf(!ffmpeg.met)('a link that was asked for', (storage) => {
  let landfall: Landfall
  let links: ContentLinks
  let video: MediaJson
  let other: MediaJson

  beforeAll(async () => {
    landfall = await startLandfall({
      storage,
      env: { SCAN: 'off', DEEP_CHECK: 'off', HLS: 'on' },
    })
    links = new ContentLinks(await linkKey(landfall.db))
    video = await process(landfall, 'alice', await shortVideo())
    other = await process(landfall, 'alice', await jpeg({ width: 640, height: 480 }))
    const hls = async () => (await (await landfall.as('alice')(`/api/v1/media/${video.id}`)).json()).hlsUrl
    await vi.waitUntil(async () => (await hls()) !== null, PATIENTLY)
  })
  afterAll(() => landfall?.close())

  it('opens all that the media item has, for as long as it says, and says so', async () => {
    const before = nowSeconds()
    const link = await give(landfall, video)
    expect(link).toMatchObject({ mediaId: video.id, kinds: KINDS, disposition: null, filename: null })
    const ttl = Date.parse(link.expiresAt) / 1000 - before
    expect(ttl).toBeGreaterThanOrEqual(DAY_SECONDS)
    expect(ttl).toBeLessThan(DAY_SECONDS + 60)
    for (const kind of KINDS)
      expect([kind, await follow(landfall, link.urls[kind] ?? '')]).toEqual([kind, [200]])
    expect((await give(landfall, other)).kinds).toEqual(['content', 'thumbnail'])
  })

  it('is refused from the next request on when it is revoked, every part of it', async () => {
    const link = await give(landfall, video)
    const another = await give(landfall, video)
    expect(await revoke(landfall, link)).toBe(204)
    expect(await revoke(landfall, link)).toBe(204)
    for (const kind of KINDS) {
      const url = link.urls[kind] ?? ''
      expect([kind, await follow(landfall, url)]).toEqual([kind, [401, 'token-invalid']])
      const range = { headers: { Range: 'bytes=0-1' } }
      expect(await follow(landfall, url, range)).toEqual([401, 'token-invalid'])
      expect((await fetch(new URL(url, landfall.url), { method: 'HEAD' })).status).toBe(401)
      expect(await follow(landfall, another.urls[kind] ?? '')).toEqual([200])
    }
  })

  it('is refused when its row is missing, or is that of another media item', async () => {
    const link = await give(landfall, video)
    const ofOther = await give(landfall, other)
    const expires = Date.parse(link.expiresAt) / 1000
    const id = asMediaId(video.id)
    const foreign = links.signFor(id, 'content', { expires, link: ofOther.id })
    expect(await follow(landfall, foreign)).toEqual([401, 'token-invalid'])
    await sql`delete from landfall.media_links where id = ${link.id}`.execute(landfall.db)
    expect(await follow(landfall, link.urls.content ?? '')).toEqual([401, 'token-invalid'])
  })

  it('is refused when it has expired', async () => {
    const { id: link } = await give(landfall, video)
    for (const target of [
      'content',
      'thumbnail',
      'storyboard',
      'storyboard.vtt',
      'waveform',
      'hls.m3u8',
      'hls/1.m3u8',
      'hls/1.mp4',
    ] as const) {
      const url = links.signFor(asMediaId(video.id), target, { expires: nowSeconds() - 1, link })
      expect([target, await follow(landfall, url)]).toEqual([target, [401, 'token-expired']])
    }
  })

  it('opens nothing else: no other target, no other media item', async () => {
    const link = await give(landfall, video, { disposition: 'attachment', filename: 'a.mp4' })
    const targets = [
      'content',
      'source',
      'thumbnail',
      'storyboard',
      'storyboard.vtt',
      'waveform',
      'hls.m3u8',
      'hls/1.m3u8',
      'hls/1.mp4',
    ]
    for (const [kind, url = ''] of Object.entries(link.urls)) {
      const [path = '', query] = url.split('?')
      const own = path.slice(`/api/v1/media/${video.id}/`.length)
      for (const target of targets.filter((one) => one !== own)) {
        const answer = await follow(landfall, `/api/v1/media/${video.id}/${target}?${query}`)
        expect([kind, target, answer]).toEqual([kind, target, [401, 'token-invalid']])
      }
      expect(await follow(landfall, url.replace(video.id, other.id))).toEqual([401, 'token-invalid'])
    }
    const only = await give(landfall, video, { kinds: ['thumbnail', 'thumbnail'] })
    expect([only.kinds, Object.keys(only.urls)]).toEqual([['thumbnail'], ['thumbnail']])
  })

  it('is refused with any parameter changed, left out, doubled or added', async () => {
    const link = await give(landfall, video, { disposition: 'attachment', filename: 'a.mp4' })
    const fresh = await give(landfall, video)
    for (const kind of KINDS) {
      const url = new URL(link.urls[kind] ?? '', landfall.url)
      const names = [...url.searchParams.keys()]
      expect(names.length).toBe(['content', 'thumbnail'].includes(kind) ? 5 : 3)
      const changed = (change: (query: URLSearchParams) => void) => {
        const copy = new URL(url)
        change(copy.searchParams)
        return copy.href
      }
      const tampered = [
        changed((query) => query.set('expires', String(Number(query.get('expires')) + 1))),
        changed((query) => query.set('expires', `0${query.get('expires')}`)),
        changed((query) => query.set('expires', `${query.get('expires')}.0`)),
        changed((query) => query.set('link', fresh.id)),
        changed((query) => query.set('disposition', 'inline')),
        changed((query) => query.set('filename', 'b.mp4')),
        changed((query) => query.set('filename', '')),
        changed((query) => query.set('key', 'app')),
        changed((query) => query.set('signature', '')),
        ...names.flatMap((name) => [
          changed((query) => query.append(name, query.get(name) ?? '')),
          changed((query) => query.append(name, '')),
          ...(name === 'signature' ? [] : [changed((query) => query.delete(name))]),
        ]),
      ]
      for (const one of tampered)
        expect([one, await follow(landfall, one)]).toEqual([one, [401, 'token-invalid']])
      expect(
        await follow(
          landfall,
          changed((query) => query.append('utm_source', 'x')),
        ),
      ).toEqual([400, 'invalid-request'])
      expect(
        await follow(
          landfall,
          changed((query) => query.delete('signature')),
        ),
      ).toEqual([401, 'token-missing'])
    }
  })

  it('does not mix with a token: what only a link says is refused beside one', async () => {
    for (const query of ['disposition=attachment', 'filename=a', 'link=x', 'key=app']) {
      const answer = await landfall.as('alice')(`/api/v1/media/${video.id}/content?${query}`)
      expect(await told(answer)).toEqual([400, 'invalid-request'])
    }
  })

  it('says how the file is shown and called, and never lets a browser run it', async () => {
    const named = async (body: object, kind: Kind = 'content', media = video) => {
      const link = await give(landfall, media, body)
      const answer = await fetch(new URL(link.urls[kind] ?? '', landfall.url))
      await answer.body?.cancel()
      return answer.headers.get('Content-Disposition')
    }
    expect(await named({})).toBe(`inline; filename=${video.filename}`)
    expect(await named({ disposition: 'attachment' })).toBe(`attachment; filename=${video.filename}`)
    expect(await named({ filename: 'Lesson 1.mp4' })).toBe('inline; filename="Lesson 1.mp4"')
    expect(await named({ filename: '../../a\r\nSet-Cookie: x"\u202e.mp4' })).toMatch(
      /^inline; filename="?[^\r\n]*$/,
    )
    expect(await named({ filename: 'Übung.mp4' })).toContain("filename*=UTF-8''%C3%9Cbung.mp4")
    expect(await named({ filename: 'lesson.mp4' }, 'thumbnail')).toBe('inline; filename=lesson.webp')
    expect(await named({ filename: 'lesson.mp4' }, 'content', other)).toBe('inline; filename=lesson.jpg')
    await sql`update landfall.media set content_type = 'text/html' where id = ${other.id}`.execute(
      landfall.db,
    )
    expect(await named({ disposition: 'inline', filename: 'a.txt' }, 'content', other)).toBe(
      'attachment; filename=a.txt',
    )
    await sql`update landfall.media set content_type = 'image/jpeg' where id = ${other.id}`.execute(
      landfall.db,
    )
  })

  it.each<[string, object, RegExp]>([
    ['a longer time than 30 days', { ttlSeconds: 30 * DAY_SECONDS + 1 }, /ttlSeconds.*2592000.*30 days/],
    ['no time', { ttlSeconds: 0 }, /ttlSeconds/],
    ['part of a second', { ttlSeconds: 1.5 }, /ttlSeconds/],
    ['nothing to open', { kinds: [] }, /kinds/],
    ['the source', { kinds: ['source'] }, /kinds/],
    ['what there is none of', { kinds: ['hls'] }, /no hls; it has content, thumbnail/],
    ['another disposition', { disposition: 'form-data' }, /disposition/],
    ['a name of nothing', { filename: '../' }, /filename/],
    ['half a character', { filename: '\ud800' }, /filename/],
    ['a program', { filename: 'holiday.exe' }, /filename.*exe/],
    ['a member that is not known', { ttl: 5 }, /ttl: is not known/],
  ])('is not given for %s', async (_what, body, words) => {
    const response = await order(landfall, other, body)
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({
      code: 'invalid-request',
      detail: expect.stringMatching(words),
    })
  })

  it('is given for the times at both ends, and not for a body that is no JSON', async () => {
    for (const ttlSeconds of [1, 30 * DAY_SECONDS]) await give(landfall, other, { ttlSeconds })
    const path = `/api/v1/media/${other.id}/links`
    const answer = await landfall.as('alice')(path, { method: 'POST', body: '{"ttlSeconds":60}' })
    expect(await told(answer)).toEqual([415, 'unsupported-content-type'])
    expect((await landfall.as('alice')(path, { method: 'POST' })).status).toBe(201)
  })

  it('is for the owner and the backend, and nobody else', async () => {
    expect(await told(await order(landfall, video, {}, 'bob'))).toEqual([404, 'not-found'])
    const link = await give(landfall, video)
    expect(await revoke(landfall, link, 'bob')).toBe(404)
    expect((await landfall.as('bob')(`/api/v1/media/${video.id}/links`)).status).toBe(404)
    const backend = inTenant(landfall, null, 'service')
    expect((await order(backend, video, {}, 'backend')).status).toBe(201)
    expect(await revoke(landfall, { ...link, mediaId: other.id })).toBe(404)
    expect(await follow(landfall, link.urls.content ?? '')).toEqual([200])
    expect(await revoke(backend, link, 'backend')).toBe(204)
    expect(
      (
        await fetch(
          `${landfall.url}/api/v1/media/${video.id}/links${new URL(link.urls.content ?? '', landfall.url).search}`,
        )
      ).status,
    ).toBe(401)
  })

  it('is listed while it can be followed, newest first, with its addresses', async () => {
    const media = await process(landfall, 'alice', await jpeg({ width: 500, height: 400 }))
    const [first, gone, last] = [
      await give(landfall, media),
      await give(landfall, media),
      await give(landfall, media),
    ]
    await revoke(landfall, gone)
    const over = await give(landfall, media)
    await sql`update landfall.media_links set expires_at = now() where id = ${over.id}`.execute(landfall.db)
    const list = await landfall.as('alice')(`/api/v1/media/${media.id}/links`)
    expect(await list.json()).toEqual({ items: [last, first] })
  })

  it('is given to what is ready only, and ends with it', async () => {
    const media = await process(landfall, 'alice', await jpeg({ width: 520, height: 400 }))
    const link = await give(landfall, media)
    const url = link.urls.content ?? ''
    const item = `/api/v1/media/${media.id}`
    await landfall.as('alice')(item, { method: 'DELETE' })
    expect(await follow(landfall, url)).toEqual([404, 'not-found'])
    expect(await told(await order(landfall, media, {}))).toEqual([404, 'not-found'])
    // Restored, it would open again, so it can be revoked in between.
    await landfall.as('alice')(`${item}/restore`, { method: 'POST' })
    expect(await follow(landfall, url)).toEqual([200])
    for (const [status, answer] of [
      ['processing', [409, 'not-ready']],
      ['failed', [409, 'not-ready']],
      ['rejected', [410, 'upload-rejected']],
    ] as const) {
      await sql`update landfall.media set status = ${status} where id = ${media.id}`.execute(landfall.db)
      expect(await told(await order(landfall, media, {}))).toEqual(answer)
      expect(await follow(landfall, url)).toEqual(answer)
      expect((await landfall.as('alice')(`${item}/links`)).status).toBe(200)
    }
    await sql`update landfall.media set status = 'ready' where id = ${media.id}`.execute(landfall.db)
    await landfall.as('alice')(item, { method: 'DELETE' })
    expect(await revoke(landfall, link)).toBe(204)
    await landfall.as('alice')(`${item}/restore`, { method: 'POST' })
    expect(await follow(landfall, url)).toEqual([401, 'token-invalid'])
    await landfall.as('alice')(`${item}?purge=true`, { method: 'DELETE' })
    const { rows } = await sql`select 1 from landfall.media_links where media_id = ${media.id}`.execute(
      landfall.db,
    )
    expect(rows).toEqual([])
  })

  it('is bounded in number, however many are asked for at once', async () => {
    const media = await process(landfall, 'alice', await jpeg({ width: 540, height: 400 }))
    const second = await startLandfall({ beside: landfall, withoutWorker: true, env: { SCAN: 'off' } })
    onTestFinished(() => second.close())
    const at = (n: number) => (n % 2 === 0 ? landfall : second)
    const statuses = await Promise.all(
      Array.from({ length: 120 }, async (_, n) => (await order(at(n), media, {})).status),
    )
    expect([201, 429].map((status) => statuses.filter((one) => one === status).length)).toEqual([100, 20])
    const { items } = (await (await landfall.as('alice')(`/api/v1/media/${media.id}/links`)).json()) as {
      items: LinkJson[]
    }
    expect(items.length).toBe(100)
    const refused = await order(landfall, media, {})
    expect([refused.status, await refused.json()]).toMatchObject([
      429,
      { code: 'too-many-links', limit: 100 },
    ])
    if (items[0]) await revoke(landfall, items[0])
    expect((await order(landfall, media, {})).status).toBe(201)
  })

  it('is forgotten when it was over for as long as history is kept', async () => {
    const [kept, expired, revoked] = [
      await give(landfall, other),
      await give(landfall, other),
      await give(landfall, other),
    ]
    await sql`update landfall.media_links set expires_at = now() - interval '2 days' where id = ${expired.id}`.execute(
      landfall.db,
    )
    await sql`update landfall.media_links set revoked_at = now() - interval '2 days' where id = ${revoked.id}`.execute(
      landfall.db,
    )
    await prune(landfall.db, { historyMs: DAY_SECONDS * 1000, recordMs: DAY_SECONDS * 1000 })
    const { rows } = await sql<{ id: string }>`
      select id from landfall.media_links where id = any(${[kept.id, expired.id, revoked.id]})`.execute(
      landfall.db,
    )
    expect(rows).toEqual([{ id: kept.id }])
    expect(await follow(landfall, revoked.urls.content ?? '')).toEqual([401, 'token-invalid'])
  })

  it('answers ranges and HEAD, and lets no cache keep more than it may', async () => {
    const link = await give(landfall, video)
    const url = new URL(link.urls.content ?? '', landfall.url)
    const part = await fetch(url, { headers: { Range: 'bytes=0-9' } })
    expect([part.status, (await part.arrayBuffer()).byteLength]).toEqual([206, 10])
    const head = await fetch(url, { method: 'HEAD' })
    expect([head.status, head.headers.get('Content-Length')]).toEqual([200, String(video.size)])
    for (const kind of KINDS) {
      const answer = await fetch(new URL(link.urls[kind] ?? '', landfall.url), { method: 'HEAD' })
      expect(answer.headers.get('Cache-Control')).toBe('private, no-cache')
    }
    const etag = head.headers.get('ETag') ?? ''
    expect((await fetch(url, { headers: { 'If-None-Match': etag } })).status).toBe(304)
    await revoke(landfall, link)
    expect((await fetch(url, { headers: { 'If-None-Match': etag } })).status).toBe(401)
  })

  it.each(['hls', 'storyboard'] as const)('gives all parts of %s the same end', async (kind) => {
    const link = await give(landfall, video, { ttlSeconds: 600 })
    const all = await walked(landfall, link.urls[kind] ?? '')
    expect(all.length).toBeGreaterThan(kind === 'hls' ? 2 : 1)
    const expires = String(Date.parse(link.expiresAt) / 1000)
    for (const { searchParams } of all)
      expect([searchParams.get('link'), searchParams.get('expires')]).toEqual([link.id, expires])
    await revoke(landfall, link)
    for (const part of all)
      expect([part.pathname, await follow(landfall, part.href)]).toEqual([
        part.pathname,
        [401, 'token-invalid'],
      ])

    // By a link of an hour or two, and by a token, they are new ones.
    const target = kind === 'hls' ? 'hls.m3u8' : 'storyboard.vtt'
    const given = await walked(landfall, links.sign(asMediaId(video.id), target))
    for (const { searchParams } of given) expect([...searchParams.keys()]).toEqual(['expires', 'signature'])
    expect(given.length).toBe(all.length)
  })

  it('of the last release stays valid', async () => {
    const key = await linkKey(landfall.db)
    const old = (target: string) => {
      const expires = nowSeconds() + 60
      const text = `${video.id}\n${target}\n${expires}`
      const signature = createHmac('sha256', key).update(text).digest('base64url')
      return `/api/v1/media/${video.id}/${target}?expires=${expires}&signature=${signature}`
    }
    for (const target of [
      'content',
      'source',
      'thumbnail',
      'storyboard',
      'storyboard.vtt',
      'waveform',
      'hls.m3u8',
      'hls/1.m3u8',
      'hls/1.mp4',
    ])
      expect([target, await follow(landfall, old(target))]).toEqual([target, [200]])
  })
})

describe.skipIf(!ceph.met)('a link, with redirects to the bucket', () => {
  it('holds there: name, disposition, and an end that is not later', async () => {
    const landfall = await startS3Landfall({
      env: { SCAN: 'off', DOWNLOADS: 'redirect' },
    })
    try {
      const media = await process(landfall, 'alice', await jpeg({ width: 640, height: 480 }))
      const location = async (url: string, method = 'GET') => {
        const answer = await fetch(new URL(url, landfall.url), { method, redirect: 'manual' })
        expect([answer.status, answer.headers.get('Cache-Control')]).toEqual([307, 'no-store'])
        return new URL(answer.headers.get('Location') ?? '')
      }
      const secondsOf = (at: URL) => Number(at.searchParams.get('X-Amz-Expires'))
      const body = { disposition: 'attachment', filename: 'My holiday.jpg', ttlSeconds: 60 }
      const short = await give(landfall, media, body)
      for (const method of ['GET', 'HEAD']) {
        const at = await location(short.urls.content ?? '', method)
        expect(secondsOf(at)).toBeLessThanOrEqual(60)
        expect(secondsOf(at)).toBeGreaterThan(30)
        const file = await fetch(at, { method })
        await file.body?.cancel()
        expect(file.headers.get('Content-Disposition')).toBe('attachment; filename="My holiday.jpg"')
      }
      const long = await give(landfall, media)
      expect(secondsOf(await location(long.urls.thumbnail ?? ''))).toBe(900)
      expect(secondsOf(await location(media.contentUrl))).toBe(900)
      await revoke(landfall, long)
      const url = new URL(long.urls.content ?? '', landfall.url)
      expect((await fetch(url, { redirect: 'manual' })).status).toBe(401)
    } finally {
      await landfall.close()
    }
  })
})
