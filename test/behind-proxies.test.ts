import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Browser } from 'playwright-core'
import { DefaultHttpStack } from 'tus-js-client'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { freePort } from '../server/embedded/free-port.ts'
import { createLog } from '../server/process/log.ts'
import { Releasers } from '../server/process/releasers.ts'
import { jpeg, shortVideo } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { buildPage, chooseFile, complaintsOf, launchBrowser, mediaCard } from './support/browser.ts'
import { type Certificate, makeCertificate } from './support/certificate.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { PROXIES, startReverseProxy } from './support/proxies.ts'
import { asMp4 } from './support/sample-bytes.ts'
import {
  ask,
  askSlowly,
  followLinks,
  type Links,
  type Site,
  watchBySocket,
  watchBySse,
} from './support/site.ts'
import { finish, tusJsUpload } from './support/tus-js-client.ts'

const programs = {
  nginx: requires('nginx'),
  haproxy: requires('haproxy'),
  caddy: requires('caddy'),
}
const others = [requires('openssl'), requires('ffmpeg'), requires('chromium')]
const isRunnable = others.every(({ met }) => met)

const TUS = { 'Tus-Resumable': '1.0.0' }
const DRAFT = { 'Upload-Draft-Interop-Version': '8' }
const PATIENTLY = { timeout: 60_000, interval: 100 }
const NOBODY = 'A'.repeat(22)

type MediaJson = Links & { id: string; status: string }

/** The files of `deploy/` for what Debian packages, in the real programs, with TLS on a port that is not 443. */
describe.skipIf(!isRunnable)('Landfall', () => {
  const log = createLog({ level: 'error', name: 'test' })
  const releasers = new Releasers()
  let landfall: Landfall
  let tls: Certificate
  let browser: Browser
  let movie: Buffer

  beforeAll(async () => {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-tls-'))
    releasers.add('certificate', () => rm(directory, { recursive: true, force: true }))
    tls = await makeCertificate(directory)
    await buildPage()
    browser = await launchBrowser()
    releasers.add('browser', () => browser.close())
    landfall = await startLandfall({
      page: true,
      env: {
        TRUST_PROXY: 'loopback',
        CORS_ORIGINS: 'https://app.example',
        SCAN: 'off',
        DEEP_CHECK: 'off',
        HLS: 'on',
        HLS_HEIGHTS: '240',
        UPLOAD_MAX_OPEN: '1000',
      },
    })
    releasers.add('landfall', () => landfall.close())
    movie = await readFile((await shortVideo()).path)
  })
  afterAll(() => releasers.releaseAll(log))

  const all = PROXIES.flatMap((name) => [
    { name, hasPrefix: false, where: 'at its root' },
    { name, hasPrefix: true, where: 'below a path' },
  ])

  describe.each(all)('behind $name, $where', ({ name, hasPrefix }) => {
    const { met } = programs[name]
    let site: Site & { certificate: string }
    let origin: string
    let prefix: string
    let stop: () => Promise<void>

    beforeAll(async () => {
      if (!met) return
      const proxy = await startReverseProxy(name, [new URL(landfall.url).host], { tls, hasPrefix })
      stop = () => proxy.stop()
      site = { url: proxy.url, token: landfall.token, certificate: tls.pem }
      origin = new URL(proxy.url).origin
      prefix = hasPrefix ? '/up' : ''
    })
    afterAll(() => stop?.())

    const get = (path: string, sub?: string) => ask(site, site.url + path, sub === undefined ? {} : { sub })
    const jsonOf = async <Json>(path: string, sub: string): Promise<Json> =>
      JSON.parse((await get(path, sub)).bytes.toString()) as Json

    const create = async (headers: Record<string, string>) => {
      const answer = await ask(site, `${site.url}/files`, { method: 'POST', sub: name, headers })
      expect(answer.status, answer.bytes.toString()).toBe(201)
      return String(answer.headers.location)
    }
    const uploadByTusJs = async (sub: string): Promise<string> => {
      const httpStack = new DefaultHttpStack({ ca: tls.pem })
      const sending = tusJsUpload(site, sub, movie, {
        httpStack,
        parallelUploads: 2,
      })
      const id = await finish(sending)
      expect(sending.upload.url).toBe(`${site.url}/files/${id}`)
      return id
    }

    it.skipIf(!met)(
      'takes a file from tus-js-client, in parts, and all its addresses lead back',
      async () => {
        const uploadId = await uploadByTusJs(name)
        const head = await ask(site, `${site.url}/files/${uploadId}`, {
          method: 'HEAD',
          sub: name,
          headers: TUS,
        })
        expect(head.status).toBe(200)
        const [, link = ''] = /^<([^>]+)>; rel="describedby"$/.exec(String(head.headers.link)) ?? []
        expect(link.startsWith(`${prefix}/api/v1/media/`)).toBe(true)
        const described = new URL(link, head.url)
        const read = async () =>
          JSON.parse((await ask(site, described, { sub: name })).bytes.toString()) as MediaJson
        await expect.poll(async () => (await read()).hlsUrl, PATIENTLY).not.toBeNull()

        const followed = await followLinks(site, described, await read())
        expect(followed.map(({ status, url }) => [status, url.pathname])).toEqual(
          followed.map(({ url }) => [200, url.pathname]),
        )
        const below = `${site.url}/api/v1/media/`
        expect(followed.filter(({ url }) => !url.href.startsWith(below))).toEqual([])
        const lastNames = new Set(followed.map(({ url }) => url.pathname.split('/').at(-1)))
        for (const one of ['thumbnail', 'storyboard', 'waveform', 'content', 'hls.m3u8', '1.m3u8', '1.mp4'])
          expect(lastNames, one).toContain(one)

        const redirected = await ask(site, head.url, { sub: name })
        const content = await ask(site, new URL(String(redirected.headers.location), head.url))
        expect([redirected.status, content.url.href.startsWith(below)]).toEqual([303, true])
        expect(content.bytes.equals(movie)).toBe(true)
      },
    )

    it.skipIf(!met)(
      'takes a file by the IETF draft, and partial uploads in every form of address',
      async () => {
        const half = Math.floor(movie.length / 2)
        const location = await create({
          ...DRAFT,
          'Upload-Complete': '?0',
          'Upload-Length': String(movie.length),
        })
        expect(location.startsWith(`${site.url}/files/`)).toBe(true)
        const append = (from: number, to: number, isLast: boolean) =>
          ask(site, location, {
            method: 'PATCH',
            sub: name,
            headers: {
              ...DRAFT,
              'Content-Type': 'application/partial-upload',
              'Upload-Offset': String(from),
              'Upload-Complete': isLast ? '?1' : '?0',
            },
            body: movie.subarray(from, to),
          })
        expect((await append(0, half, false)).headers['upload-offset']).toBe(String(half))
        const last = await append(half, movie.length, true)
        expect(last.headers.link).toMatch(new RegExp(`^<${prefix}/api/v1/media/`))

        const partial = { ...TUS, 'Upload-Length': '5000', 'Upload-Concat': 'partial' }
        const addresses = await Promise.all(Array.from({ length: 3 }, () => create(partial)))
        const [one = '', two = '', three = ''] = addresses
        const forms = [one, new URL(two).pathname, new URL(three).pathname.slice(prefix.length)]
        const final = await create({ ...TUS, 'Upload-Concat': `final;${forms.join(' ')}` })
        expect(final.startsWith(`${site.url}/files/`)).toBe(true)
      },
    )

    it.skipIf(!met)('tells its events as they happen, by SSE and to a page by WebSocket', async () => {
      const sub = `${name}-events`
      const ticket = async () => {
        const answer = await ask(site, `${site.url}/api/v1/events/tickets`, { method: 'POST', sub })
        return (JSON.parse(answer.bytes.toString()) as { ticket: string }).ticket
      }
      const bySocket = await watchBySocket(site, await ticket(), origin)
      onTestFinished(() => bySocket.leave())
      const bySse = await watchBySse(site, await ticket())
      onTestFinished(() => bySse.leave())
      await uploadByTusJs(sub)
      for (const { events } of [bySocket, bySse])
        await expect
          .poll(() => events.flatMap(({ event, data }) => (event === 'state' ? [data.type] : [])), PATIENTLY)
          .toContain('media.ready')
      await expect(watchBySocket(site, await ticket(), 'https://evil.example')).rejects.toThrow('403')
    })

    it.skipIf(!met)('gets bytes while they are sent', async () => {
      const bytes = asMp4(Buffer.alloc(300_000))
      const location = await create({ ...TUS, 'Upload-Length': String(bytes.length) })
      const patch = askSlowly(site, location, {
        method: 'PATCH',
        sub: name,
        headers: { ...TUS, 'Upload-Offset': '0', 'Content-Type': 'application/offset+octet-stream' },
      })
      await patch.send(bytes.subarray(0, 200_000))
      const id = location.split('/').at(-1)
      const arrived = async () => (await jsonOf<{ offset: number }>(`/api/v1/uploads/${id}`, name)).offset
      await expect.poll(arrived, PATIENTLY).toBeGreaterThan(100_000)
      await patch.send(bytes.subarray(200_000))
      patch.end()
      expect((await patch.answer).status).toBe(204)
    })

    it.skipIf(!met)(
      'believes no address that a client forges, and closes what is for those inside',
      async () => {
        const forged = {
          Forwarded: 'proto=http;host=evil.example',
          'X-Forwarded-Proto': 'http',
          'X-Forwarded-Host': 'evil.example',
          'X-Forwarded-Port': '1',
          'X-Forwarded-Prefix': '/evil',
        }
        const location = await create({ ...TUS, 'Upload-Length': '5000', ...forged })
        expect(location.startsWith(`${site.url}/files/`), location).toBe(true)
        const page = await ask(site, `${site.url}/`, { headers: forged })
        expect(page.bytes.toString()).not.toContain('evil')
        const closed = ['/metrics', '/dev/token', '/up/metrics', '/%6Detrics', '//metrics', '/metrics/']
        const answers = await Promise.all(closed.map((path) => get(path)))
        expect(answers.map(({ status }) => status)).toEqual(closed.map(() => 404))
        expect((await get('/healthz')).status).toBe(200)
      },
    )

    it.skipIf(!met)('has a page that works, and that takes a file', async () => {
      const context = await browser.newContext({ ignoreHTTPSErrors: true })
      onTestFinished(() => context.close())
      const complaints = await complaintsOf(context)
      const page = await context.newPage()
      // A proxy leads on from the path without a slash.
      await page.goto(site.url)
      await page.getByLabel('Token (JWT)').fill(landfall.token(`${name}-page`))
      await page.getByRole('button', { name: 'Continue' }).click()
      const picture = await jpeg({ width: 1600, height: 900 })
      await chooseFile(page, picture.path)
      const card = mediaCard(page, basename(picture.path), 'ready')
      await card.waitFor()
      const width = () => card.locator('img').evaluate((img: HTMLImageElement) => img.naturalWidth)
      await expect.poll(width, PATIENTLY).toBeGreaterThan(100)
      expect(new URL(page.url()).pathname).toBe(`${prefix}/`)
      expect(complaints).toEqual([])
    })

    // nginx 1.22 forwards none.
    if (name !== 'nginx')
      it.skipIf(!met)('tells an upload of the draft early, where that is wanted', async () => {
        const env = { TRUST_PROXY: 'loopback', INTERIM_RESPONSES: 'on' }
        const telling = await startLandfall({ withoutWorker: true, env })
        onTestFinished(() => telling.close())
        const proxy = await startReverseProxy(name, [new URL(telling.url).host], { tls, hasPrefix })
        onTestFinished(() => proxy.stop())
        const creation = askSlowly(site, `${proxy.url}/files`, {
          method: 'POST',
          sub: name,
          headers: { ...DRAFT, 'Upload-Complete': '?1', 'Content-Length': String(movie.length) },
        })
        const early = (await creation.interim).headers.location
        expect(early?.startsWith(`${proxy.url}/files/`), early).toBe(true)
        await creation.send(movie)
        creation.end()
        expect((await creation.answer).headers.location).toBe(early)
      })

    it.skipIf(!met)('is told to clients as away for a moment while no server is up', async () => {
      const proxy = await startReverseProxy(name, [`127.0.0.1:${await freePort()}`], { tls, hasPrefix })
      onTestFinished(() => proxy.stop())
      const asked = { method: 'HEAD', sub: name, headers: TUS }
      const head = await ask(site, `${proxy.url}/files/${NOBODY}`, asked)
      const { 'retry-after': retryAfter, 'tus-resumable': version } = head.headers
      expect([head.status, retryAfter, version]).toEqual([423, '2', '1.0.0'])
      const patch = await ask(site, `${proxy.url}/files/${NOBODY}`, { ...asked, method: 'PATCH' })
      expect([502, 503]).toContain(patch.status)
    })
  })
})
