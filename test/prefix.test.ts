import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { freePort } from '../server/embedded/free-port.ts'
import { type Fixture, jpeg, shortVideo } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { buildPage, chooseFile, complaintsOf, launchBrowser, mediaCard } from './support/browser.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { type PrefixProxy, startPrefixProxy } from './support/prefix-proxy.ts'
import {
  type Asked,
  ask,
  followLinks,
  type Links,
  type Seen,
  type Site,
  watchBySocket,
} from './support/site.ts'
import { finish, tusJsUpload } from './support/tus-js-client.ts'

const ffmpeg = requires('ffmpeg')
const chromium = requires('chromium')

const ENV = { SCAN: 'off', DEEP_CHECK: 'off', HLS: 'on', HLS_HEIGHTS: '240', UPLOAD_MAX_OPEN: '1000' }
const TUS = { 'Tus-Resumable': '1.0.0' }
const PATIENTLY = { timeout: 60_000, interval: 100 }

type MediaJson = Links & { id: string; uploadId: string; status: string }

const jsonOf = <Json>({ bytes }: Seen): Json => JSON.parse(bytes.toString()) as Json

/** Whatever looks like an address of this server: in headers, and in the members of a document. */
function addressesIn({ headers, bytes }: Seen): string[] {
  const told = [headers.location, headers.link].map((header) => /^<?([^>]+)/.exec(String(header ?? ''))?.[1])
  const isJson = headers['content-type']?.startsWith('application/json')
  const members = isJson ? [...bytes.toString().matchAll(/"([^"\\]*\/(?:api\/v1|files)\/[^"\\]*)"/g)] : []
  return [...told, ...members.map((match) => match[1])].filter((address) => address !== undefined)
}

describe.skipIf(!ffmpeg.met || !chromium.met)('below the path of PUBLIC_URL', () => {
  let browser: Browser
  let movie: Fixture
  let bytes: Buffer

  beforeAll(async () => {
    await buildPage()
    browser = await launchBrowser()
    movie = await shortVideo()
    bytes = await readFile(movie.path)
  })
  afterAll(() => browser?.close())

  describe.each([
    ['takes off', true],
    ['leaves', false],
  ])('that a proxy %s', (_what, isTakenOff) => {
    let landfall: Landfall
    let proxy: PrefixProxy
    let site: Site

    beforeAll(async () => {
      const port = await freePort()
      const url = `http://127.0.0.1:${port}/up`
      proxy = await startPrefixProxy(port, () => landfall.url, { isTakenOff })
      landfall = await startLandfall({ page: true, env: { ...ENV, PUBLIC_URL: `${url}/` } })
      site = { url, token: landfall.token }
    })
    afterAll(async () => {
      await proxy?.close()
      await landfall?.close()
    })

    const at = (path: string, asked: Asked = {}) => ask(site, site.url + path, { sub: 'alice', ...asked })

    it('every address of an answer leads back', async () => {
      const uploadId = await finish(tusJsUpload(site, 'alice', bytes, { uploadSize: bytes.length }))
      const head = await at(`/files/${uploadId}`, { method: 'HEAD', headers: TUS })
      const [described = ''] = addressesIn(head)
      const whole = new URL(described, head.url)
      const read = async () => jsonOf<MediaJson>(await ask(site, whole, { sub: 'alice' }))
      await expect.poll(async () => (await read()).hlsUrl, PATIENTLY).not.toBeNull()
      const media = await read()

      const answers = [
        head,
        await at('/files', { method: 'POST', headers: { ...TUS, 'Upload-Length': '5000' } }),
        await at(`/files/${uploadId}`),
        await at(`/api/v1/media/${media.id}`),
        await at('/api/v1/media'),
        await at(`/api/v1/uploads/${uploadId}`),
        await at('/api/v1/uploads'),
        await at(`/api/v1/media/${media.id}/process`, { method: 'POST' }),
      ]
      expect(answers.map(({ status }) => status)).toEqual([200, 201, 303, 200, 200, 200, 200, 202])
      const told = answers.flatMap((answer) => addressesIn(answer))
      expect(told.length).toBeGreaterThan(12)
      const { pathname } = new URL(site.url)
      const isBelow = (address: string) =>
        address.startsWith(`${site.url}/`) || address.startsWith(`${pathname}/`)
      expect(told.filter((address) => !isBelow(address))).toEqual([])

      const followed = await followLinks(site, whole, media)
      expect(followed.filter(({ status }) => status !== 200)).toEqual([])
      expect(followed.filter(({ url }) => !url.href.startsWith(`${site.url}/api/`))).toEqual([])
      expect(followed.length).toBeGreaterThan(6)
    })

    it('the description of the API names it', async () => {
      const { servers } = jsonOf<{ servers: { url: string }[] }>(await at('/openapi.json'))
      expect(servers).toEqual([{ url: site.url }])
    })

    it.each(['', '/', '/index.html'])('the page at %j works and takes a file', async (path) => {
      const context = await browser.newContext()
      onTestFinished(() => context.close())
      const complaints = await complaintsOf(context)
      const page = await context.newPage()
      await page.goto(`${site.url}${path}?code=${landfall.devCode}`)
      const picture = await jpeg({ width: 1600, height: 900 })
      await chooseFile(page, picture.path)
      const card = mediaCard(page, basename(picture.path), 'ready').first()
      await card.waitFor()
      const width = () => card.locator('img').evaluate((img: HTMLImageElement) => img.naturalWidth)
      await expect.poll(width, PATIENTLY).toBeGreaterThan(100)
      // Other servers may have their pages on the same host.
      const keys = await page.evaluate(() => Object.keys(localStorage))
      expect(keys).toContain('landfall.token:/up/')
      expect(keys).not.toContain('landfall.token')
      expect(complaints).toEqual([])
    })
  })

  it('requests without a proxy reach the server as well, but not what is for those inside', async () => {
    const landfall = await startLandfall({
      withoutWorker: true,
      env: { PUBLIC_URL: 'https://host.example:8443/up', CORS_ORIGINS: 'https://app.example' },
    })
    onTestFinished(() => landfall.close())
    const { url, token } = landfall
    const below = { url: `${url}/up`, token }
    const statusOf = async (path: string) => (await ask(landfall, url + path, { sub: 'alice' })).status
    expect(await statusOf('/up/api/v1/quota')).toBe(200)
    expect(await statusOf('/api/v1/quota')).toBe(200)
    expect(await statusOf('/up/up/api/v1/quota')).toBe(404)
    expect(await statusOf('/upper/api/v1/quota')).toBe(404)
    expect(await statusOf('/metrics')).toBe(200)
    expect(await statusOf('/up/metrics')).toBe(404)

    // Before its body is sent: it is for the upload to ask for that.
    const created = await ask(below, `${below.url}/files`, {
      method: 'POST',
      sub: 'alice',
      headers: { ...TUS, 'Upload-Length': '5000' },
    })
    const id = String(created.headers.location).split('/').at(-1)
    expect(created.headers.location).toBe(`https://host.example:8443/up/files/${id}`)
    const refused = await ask(below, `${below.url}/files/${id}`, {
      method: 'PATCH',
      sub: 'alice',
      headers: { ...TUS, Expect: '100-continue', 'Content-Length': '10', 'Upload-Offset': '7' },
    })
    expect(refused.status).toBe(415)

    const tickets = { method: 'POST', sub: 'alice' }
    const { ticket } = jsonOf<{ ticket: string }>(
      await ask(below, `${below.url}/api/v1/events/tickets`, tickets),
    )
    const watched = await watchBySocket(below, ticket, 'https://host.example:8443')
    onTestFinished(() => watched.leave())
    await expect(watchBySocket(below, ticket, 'https://host.example')).rejects.toThrow('403')
  })
})

describe.skipIf(!chromium.met)('below a path that a trusted proxy tells', () => {
  let landfall: Landfall

  beforeAll(async () => {
    await buildPage()
    const env = { TRUST_PROXY: 'loopback', SCAN: 'off' }
    landfall = await startLandfall({ withoutWorker: true, page: true, env })
  })
  afterAll(() => landfall?.close())

  const page = async (prefix: string | undefined, headers: Record<string, string> = {}) => {
    const told: Record<string, string> = prefix === undefined ? {} : { 'X-Forwarded-Prefix': prefix }
    return await ask(landfall, `${landfall.url}/`, { headers: { ...told, ...headers } })
  }
  const filesOf = ({ bytes }: Seen) =>
    [...bytes.toString().matchAll(/(?:href|src)="([^"]+)"/g)].map((match) => match[1] ?? '')

  it('the page has its files there', async () => {
    const files = filesOf(await page('/up'))
    expect(files.length).toBeGreaterThan(2)
    expect(files.filter((file) => !/^\/up\/(?:assets\/|favicon)/.test(file))).toEqual([])
    const relative = filesOf(await page(undefined))
    expect(relative).toEqual(files.map((file) => file.replace(/^\/up/, '.')))
  })

  it('the page may be kept as long as it is the same', async () => {
    const first = await page('/up')
    const headers = { 'If-None-Match': String(first.headers.etag) }
    expect((await page('/up', headers)).status).toBe(304)
    expect((await page('/down', headers)).status).toBe(200)
    expect(first.headers['cache-control']).toBe('no-cache')
  })

  it.each([
    '/"><script>alert(1)</script>',
    '//evil.example',
    'https://evil.example',
    '/..',
    '/%2e%2e',
    '/a/..%2f',
    '/\\evil.example',
    "/' onload='alert(1)",
    '/up?x',
    `/${'a'.repeat(300)}`,
  ])('no markup and no other host comes of %s', async (prefix) => {
    const answer = await page(prefix)
    const usual = await page(undefined)
    const files = filesOf(answer).map((file) => new URL(file, 'https://host.example/'))
    expect(files.map(({ origin }) => origin)).toEqual(files.map(() => 'https://host.example'))
    expect(answer.bytes.toString().split('<').length).toBe(usual.bytes.toString().split('<').length)
    expect(answer.headers['content-security-policy']).toBe(usual.headers['content-security-policy'])
  })
})
