import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PutBucketCorsCommand } from '@aws-sdk/client-s3'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { requires } from '../services/requirements.ts'
import { launchBrowser } from '../support/browser.ts'
import { bundleOf } from '../support/browser-bundle.ts'
import { type Bucket, freshBucket } from '../support/bucket.ts'
import { exampleWith } from '../support/doc-examples.ts'
import { type Landfall, startLandfall } from '../support/landfall.ts'
import { nothingFor } from '../support/pauses.ts'
import { sha256Of, videoOfSize } from '../support/s3-landfall.ts'
import { inTenant } from '../support/tenant.ts'
import { outcome } from '../support/uploads.ts'

const ceph = requires('ceph')
const chromium = requires('chromium')
const ffmpeg = requires('ffmpeg')
const MIB = 1024 * 1024
const SIZE = 100 * MIB + 321
const CORS_FILE = join(import.meta.dirname, '..', '..', 'deploy', 's3-cors.json')

/** What the page has of its script. */
type Uppys = {
  start(plugin: 'direct' | 'tus' | 'xhr', options: { api: string; ticket: string }, meta: object): void
  confirm(): void
  state(): { parts: number; error: string | null; url: string | null; isRestored: boolean }
  pause(): void
  resume(): void
}
type Window = typeof globalThis & { uppys: Uppys }

/** The example of the documents, with what keeps a file over a reload, and with Uppy's other two plugins. */
const script = () => `
${exampleWith('docs/api.md', 'function createDirectUppy').code}
import GoldenRetriever from '@uppy/golden-retriever'
import Tus from '@uppy/tus'
import XHRUpload from '@uppy/xhr-upload'

const BEARER = (ticket) => ({ Authorization: 'Bearer ' + ticket })
const MAKE = {
  direct: createDirectUppy,
  tus: ({ api, ticket }) => new Uppy().use(Tus, { endpoint: api + '/files', headers: BEARER(ticket) }),
  xhr: ({ api, ticket }) =>
    new Uppy().use(XHRUpload, { endpoint: api + '/api/v1/media', headers: BEARER(ticket) }),
}
const state = { parts: 0, error: null, url: null, isRestored: false }
let uppy
globalThis.uppys = {
  start(plugin, options, meta) {
    uppy = MAKE[plugin](options)
    if (plugin === 'direct')
      uppy.use(GoldenRetriever, { indexedDB: { maxFileSize: 2 ** 28, maxTotalSize: 2 ** 29 } })
    uppy.on('s3-multipart:part-uploaded', () => { state.parts += 1 })
    uppy.on('upload-error', (_, error) => { state.error = String(error) })
    uppy.on('upload-success', (_, { uploadURL, body }) => { state.url = uploadURL ?? body?.id })
    uppy.on('restored', () => { state.isRestored = uppy.getFiles().length > 0 })
    const [file] = document.querySelector('input').files
    if (!file) return
    uppy.addFile({ name: file.name, type: file.type, data: file, meta })
    void uppy.upload()
  },
  confirm: () => uppy.emit('restore-confirmed'),
  state: () => state,
  pause: () => uppy.pauseAll(),
  resume: () => uppy.resumeAll(),
}
`

describe.skipIf(!ceph.met || !chromium.met || !ffmpeg.met)(
  'Uppy in a browser, on a page of another origin',
  () => {
    let bucket: Bucket
    let landfall: Landfall
    let browser: Browser
    let site: Server
    let origin: string
    let directory: string
    let path: string
    let sha256: string

    beforeAll(async () => {
      const bundle = await bundleOf(script())
      site = createServer((request, response) => {
        const isScript = request.url === '/bundle.js'
        response.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html')
        response.end(
          isScript ? bundle : '<input type="file"><script type="module" src="/bundle.js"></script>',
        )
      })
      await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve))
      origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`
      bucket = await freshBucket()
      const rules = JSON.parse(readFileSync(CORS_FILE, 'utf8').replace('https://app.example.com', origin))
      await bucket.client.send(new PutBucketCorsCommand({ Bucket: bucket.name, CORSConfiguration: rules }))
      landfall = await startLandfall({
        env: { ...bucket.env(), SCAN: 'off', CORS_ORIGINS: origin, SIMPLE_MAX_SIZE: '200MB' },
      })
      directory = await mkdtemp(join(tmpdir(), 'landfall-clients-'))
      const bytes = await videoOfSize(SIZE, 'uppy')
      sha256 = sha256Of(bytes)
      path = join(directory, 'Film.mp4')
      await writeFile(path, bytes)
      browser = await launchBrowser()
    }, 120_000)
    afterAll(async () => {
      await browser?.close()
      await landfall?.close()
      await bucket?.close()
      site?.close()
      await rm(directory, { recursive: true, force: true })
    })

    async function ticket(): Promise<string> {
      const backend = inTenant(landfall, null, 'service').as('backend')
      const answer = await backend('/api/v1/tickets?owner=alice', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ attachedTo: { type: 'course', id: '7' } }),
      })
      return ((await answer.json()) as { token: string }).token
    }

    async function newPage(): Promise<Page> {
      const context = await browser.newContext()
      onTestFinished(() => context.close())
      const page = await context.newPage()
      await page.goto(origin)
      return page
    }
    const stateOf = (page: Page) => page.evaluate(() => (globalThis as Window).uppys.state())
    const start = (page: Page, plugin: 'direct' | 'tus' | 'xhr', token: string) =>
      page.evaluate(
        ([plugin, api, ticket]) =>
          (globalThis as Window).uppys.start(plugin, { api, ticket }, { row: '3', note: 'Grüße' }),
        [plugin, landfall.url, token] as const,
      )
    const untilParts = (page: Page, count: number) =>
      page.waitForFunction((count) => (globalThis as Window).uppys.state().parts >= count, count)
    const untilEnd = async (page: Page) => {
      await page.waitForFunction(() => {
        const { url, error } = (globalThis as Window).uppys.state()
        return url !== null || error !== null
      })
      return await stateOf(page)
    }
    const mediaOf = async () => {
      const listed = await landfall.as('alice')('/api/v1/media?limit=1')
      const { items } = (await listed.json()) as { items: { id: string; uploadId: string }[] }
      return await outcome(landfall, 'alice', items[0]?.uploadId ?? '')
    }
    const EXPECTED = {
      status: 'ready',
      size: SIZE,
      filename: 'Film.mp4',
      attachedTo: { type: 'course', id: '7' },
      metadata: { row: '3', note: 'Grüße' },
    }

    it('sends 100 MB in parts to the bucket, is paused, reloaded, and resumes', async () => {
      const token = await ticket()
      const page = await newPage()
      const sent: string[] = []
      page.on('request', (request) => {
        if (request.method() === 'PUT') sent.push(new URL(request.url()).searchParams.get('partNumber') ?? '')
      })
      await page.setInputFiles('input', path)
      await start(page, 'direct', token)
      await untilParts(page, 3)
      await page.evaluate(() => (globalThis as Window).uppys.pause())
      const { parts } = await stateOf(page)
      await nothingFor(500)
      expect((await stateOf(page)).parts).toBeLessThanOrEqual(parts + 1)
      await page.evaluate(() => (globalThis as Window).uppys.resume())
      await untilParts(page, 8)
      await page.reload()
      await start(page, 'direct', token)
      await page.waitForFunction(() => (globalThis as Window).uppys.state().isRestored)
      await page.evaluate(() => (globalThis as Window).uppys.confirm())
      const { error, url } = await untilEnd(page)
      expect(error).toBeNull()
      expect(url).toMatch(/\/api\/v1\/media\//)
      expect(await mediaOf()).toMatchObject({ ...EXPECTED, sha256, id: url?.split('/').at(-1) })
      // Only those that were under way at the pause and the reload were sent twice.
      expect(new Set(sent).size).toBe(21)
      expect(sent.length).toBeLessThanOrEqual(23)
      expect((await bucket.keys()).filter((key) => key.endsWith('.form'))).toEqual([])
      expect(await bucket.openMultiparts()).toEqual([])
    }, 120_000)

    it.each(['tus', 'xhr'] as const)(
      'sends the same by %s with a ticket',
      async (plugin) => {
        const page = await newPage()
        await page.setInputFiles('input', path)
        await start(page, plugin, await ticket())
        expect((await untilEnd(page)).error).toBeNull()
        expect(await mediaOf()).toMatchObject({ ...EXPECTED, sha256 })
      },
      120_000,
    )
  },
)
