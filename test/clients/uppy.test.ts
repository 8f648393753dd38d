import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { requires } from '../services/requirements.ts'
import { buildPage, chooseFile, launchBrowser, uploadRow, watchRows } from '../support/browser.ts'
import { startLandfall } from '../support/landfall.ts'
import { NOTHING_USED, quotaOf } from '../support/status.ts'
import { describeStorages } from '../support/storages.ts'
import { leftBehind } from '../support/stored.ts'

const chromium = requires('chromium')
const clamd = requires('clamd')
const MIB = 1024 * 1024
/** So much that the browser is still sending when the server has long made up its mind. */
const SIZE = 60 * MIB
/** The user of the tokens that the page asks for. */
const USER = 'demo'
const GONE_MS = 20_000

/** What test/page.test.ts shows of a video is not shown again. */
describeStorages.skipIf(!chromium.met || !clamd.met)('Uppy', (storage) => {
  let browser: Browser
  let directory: string

  beforeAll(async () => {
    await buildPage()
    browser = await launchBrowser()
    directory = await mkdtemp(join(tmpdir(), 'landfall-clients-'))
  })
  afterAll(async () => {
    await browser?.close()
    await rm(directory, { recursive: true, force: true })
  })

  it.each([
    ['as fast as it can', -1],
    ['on a slow line', 2 * MIB],
  ])(
    'tells why a text that is called .mp4 is refused, while it sends it %s',
    async (_how, uploadThroughput) => {
      const landfall = await startLandfall({ storage, page: true })
      onTestFinished(() => landfall.close())
      const context = await browser.newContext()
      onTestFinished(() => context.close())
      const page = await context.newPage()
      const answers: string[] = []
      page.on('response', (response) => {
        const request = response.request()
        if (new URL(request.url()).pathname.startsWith('/files')) {
          answers.push(`${request.method()} → ${response.status()}`)
        }
      })
      const sights = await watchRows(page)
      const session = await context.newCDPSession(page)
      await session.send('Network.emulateNetworkConditions', {
        ...{ offline: false, latency: 0, downloadThroughput: -1 },
        uploadThroughput,
      })
      await page.goto(landfall.pageUrl)
      const path = join(directory, 'notes.mp4')
      await writeFile(path, Buffer.alloc(SIZE, 'This is no video, whatever its name says.\n'))
      await chooseFile(page, path)

      const row = uploadRow(page, 'notes.mp4', 'rejected')
      await row.waitFor()
      console.log(`shown (${storage}): ${await row.locator('[aria-live]').textContent()}`)
      // Seen in the answer to the very request that was sending, and not found out by asking again.
      expect(answers).toEqual(['POST → 201', 'PATCH → 415'])
      expect(await row.locator('code').textContent()).toBe('type-not-allowed')
      const percents = sights.flatMap(({ percent }) => percent ?? [])
      expect(Math.max(...percents)).toBeLessThan(100)
      expect(await quotaOf(landfall, USER)).toEqual(NOTHING_USED)
      await expect.poll(() => leftBehind(landfall), { timeout: GONE_MS }).toEqual([])
    },
  )
})
