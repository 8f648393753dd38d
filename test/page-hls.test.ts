import { basename } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { shortVideo } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { buildPage, chooseFile, complaintsOf, launchBrowser, mediaCard } from './support/browser.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'

const chromium = requires('chromium')
const ffmpeg = requires('ffmpeg')

const ENV = { SCAN: 'off', DEEP_CHECK: 'off', HLS: 'on', HLS_HEIGHTS: '360,240' }
const PATIENTLY = { timeout: 30_000 }

describe.skipIf(!chromium.met || !ffmpeg.met)('the page', () => {
  let browser: Browser
  let landfall: Landfall
  let path: string

  beforeAll(async () => {
    await buildPage()
    browser = await launchBrowser()
    landfall = await startLandfall({ page: true, env: ENV })
    path = (await shortVideo({ seconds: 10 })).path
  })
  afterAll(async () => {
    await browser?.close()
    await landfall?.close()
  })

  type Visit = { page: Page; requested: string[]; complaints: string[] }

  async function openPage(): Promise<Visit> {
    const context = await browser.newContext()
    onTestFinished(() => context.close())
    const complaints = await complaintsOf(context)
    const page = await context.newPage()
    const requested: string[] = []
    page.on('request', (request) => void requested.push(new URL(request.url()).pathname))
    await page.goto(landfall.pageUrl)
    return { page, requested, complaints }
  }
  const playerOf = (page: Page) => page.locator('video[data-testid="player"]')
  const stateOf = (page: Page) =>
    playerOf(page).evaluate((v: HTMLVideoElement) => ({
      source: v.currentSrc.split(':')[0],
      isPlaying: v.currentTime > 0.5,
      height: v.videoHeight,
    }))

  async function play(page: Page): Promise<void> {
    const player = playerOf(page)
    await expect
      .poll(() => player.evaluate((v: HTMLVideoElement) => v.readyState), PATIENTLY)
      .toBeGreaterThan(1)
    await player.focus()
    await page.keyboard.press('Space')
    await expect.poll(async () => (await stateOf(page)).isPlaying, PATIENTLY).toBe(true)
  }

  it('hears that a video can be streamed, and streams it', async () => {
    const { page, requested, complaints } = await openPage()
    const refreshed = page.waitForResponse(
      async (response) =>
        /\/api\/v1\/media\/[\w-]{22}$/.test(response.url()) && (await response.json()).hlsUrl !== null,
      { timeout: 60_000 },
    )
    await chooseFile(page, path)
    const card = mediaCard(page, basename(path), 'ready')
    await card.waitFor()
    const { id } = (await (await refreshed).json()) as { id: string }
    expect(requested.filter((one) => /hls/.test(one))).toEqual([])

    await card.getByRole('button').click()
    await play(page)
    const { source, height } = await stateOf(page)
    expect(source).toBe('blob')
    expect([360, 240]).toContain(height)
    expect(await playerOf(page).evaluate((v: HTMLVideoElement) => v.duration)).toBeCloseTo(10, 0)
    const room = `/api/v1/media/${id}`
    expect(requested).toContain(`${room}/hls.m3u8`)
    expect(requested.some((one) => /\/hls\/[12]\.mp4$/.test(one))).toBe(true)
    expect(requested).not.toContain(`${room}/content`)
    expect(complaints).toEqual([])
  })

  it('plays the file where the stream does not work', async () => {
    const { page, complaints } = await openPage()
    await page.route('**/hls.m3u8?*', (route) => route.fulfill({ status: 404 }))
    await mediaCard(page, basename(path), 'ready').getByRole('button').click()
    await play(page)
    expect((await stateOf(page)).source).toBe('http')
    expect(complaints.filter((one) => !/status of 404/.test(one))).toEqual([])
  })
})
