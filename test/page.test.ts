import { basename } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { eicarTailVideo, type Fixture, jpeg, shortVideo } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import {
  buildPage,
  chooseFile,
  complaintsOf,
  dropFile,
  launchBrowser,
  mediaCard,
  movingBar,
  type RowSight,
  unfinishedRow,
  uploadRow,
  watchRows,
} from './support/browser.ts'
import { asUploadId } from './support/ids.ts'
import { type Landfall, type LandfallOptions, startLandfall } from './support/landfall.ts'
import { startTcpProxy, type TcpProxy } from './support/tcp-proxy.ts'

const chromium = requires('chromium')
const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')

/** Far below the size of the video, and well above what a request takes beside its body. */
const HELD_AFTER_BYTES = 1_000_000
/** As long as a locator waits; what the page shows in the end matters here, not how soon. */
const PATIENTLY = { timeout: 30_000 }
/** The user of the tokens that the page asks for. */
const USER = 'demo'

describe.skipIf(!chromium.met || !ffmpeg.met || !clamd.met)('the page', () => {
  let browser: Browser
  /** A file big enough not to vanish in the buffers between browser and server. */
  let video: Fixture & { name: string }
  let complaints: string[] = []
  let expected: RegExp | undefined

  beforeAll(async () => {
    await buildPage()
    browser = await launchBrowser()
    video = asChosen(await shortVideo({ seconds: 20, width: 1280, height: 720 }))
  })
  afterAll(() => browser?.close())

  afterEach(() => {
    const unexpected = complaints.filter((complaint) => !expected?.test(complaint))
    complaints = []
    expected = undefined
    expect(unexpected).toEqual([])
  })

  /** A Landfall, a connection to it in the test's hands, and the page open. */
  async function openPage(options: LandfallOptions = { page: true }): Promise<Visit> {
    const landfall = await startLandfall(options)
    onTestFinished(() => landfall.close())
    const proxy = await startTcpProxy(landfall.url)
    onTestFinished(() => proxy.close())
    const context = await browser.newContext()
    onTestFinished(() => context.close())
    complaints = await complaintsOf(context)
    const page = await context.newPage()
    const sights = await watchRows(page)
    await page.goto(new URL(new URL(landfall.pageUrl).search, proxy.url).href)
    return { page, proxy, landfall, sights }
  }

  /** Lets the page begin with `video` and stops the bytes on the way. */
  async function beginUpload({ page, proxy }: Visit): Promise<string> {
    proxy.holdAfter(HELD_AFTER_BYTES)
    await chooseFile(page, video.path)
    await movingBar(uploadRow(page, video.name, 'open')).waitFor()
    const row = page.locator(`[data-testid="upload-row"][data-name="${video.name}"][data-upload-id]`)
    return (await row.getAttribute('data-upload-id')) ?? ''
  }

  it('takes a dropped video from the drop to the playing picture', async () => {
    const { page, proxy, sights } = await openPage()
    proxy.holdAfter(HELD_AFTER_BYTES)
    await dropFile(page, video.path)
    await movingBar(uploadRow(page, video.name, 'open')).waitFor()
    proxy.release()
    await uploadRow(page, video.name, 'ready').waitFor()

    expect(inOrder(sights.map((sight) => sight.state))).toEqual(['open', 'processing', 'ready'])
    const percents = sights.filter((sight) => sight.state === 'open').flatMap((s) => s.percent ?? [])
    expect(percents).toEqual(percents.toSorted((a, b) => a - b))
    expect(percents.some((percent) => percent > 0 && percent < 100)).toBe(true)
    const processing = sights.filter((sight) => sight.state === 'processing').map((sight) => sight.text)
    console.log(`shown while processing: ${inOrder(processing).join(' | ')}`)
    expect(inOrder(processing).length).toBeGreaterThan(1)

    const card = mediaCard(page, video.name, 'ready')
    const thumbnail = card.locator('img')
    await expect
      .poll(() => thumbnail.evaluate((img: HTMLImageElement) => img.naturalWidth), PATIENTLY)
      .toBe(640)

    await card.getByRole('button').click()
    const player = page.locator('video[data-testid="player"]')
    await expect
      .poll(() => player.evaluate((v: HTMLVideoElement) => v.readyState), PATIENTLY)
      .toBeGreaterThan(1)
    await player.focus()
    await page.keyboard.press('Space')
    await expect
      .poll(() => player.evaluate((v: HTMLVideoElement) => v.currentTime), PATIENTLY)
      .toBeGreaterThan(0.5)
    const frame = await player.evaluate((v: HTMLVideoElement) => [v.videoWidth, v.videoHeight])
    expect(frame).toEqual([1280, 720])
  })

  it('goes on where it stopped when the page was reloaded in the middle', async () => {
    const visit = await openPage()
    const { page, proxy, landfall } = visit
    const uploadId = await beginUpload(visit)
    await page.reload()

    const unfinished = unfinishedRow(page, video.name)
    await unfinished.getByText('choose the same file again to continue').waitFor()
    proxy.release()
    const patch = page.waitForRequest((request) => request.method() === 'PATCH')
    await chooseFile(page, video.path)
    const offset = Number((await patch).headers()['upload-offset'])
    console.log(`resumed at ${offset} of ${video.size}`)
    expect(offset).toBeGreaterThan(0)
    expect(offset).toBeLessThan(video.size)

    await uploadRow(page, video.name, 'ready').waitFor()
    expect(await unfinished.count()).toBe(0)
    const uploads = await landfall.db.selectFrom('landfall.uploads').select(['id', 'state']).execute()
    expect(uploads).toEqual([{ id: uploadId, state: 'received' }])
    const media = await landfall.db.selectFrom('landfall.media').select(['status', 'sha256']).execute()
    expect(media).toEqual([{ status: 'ready', sha256: video.sha256 }])
  })

  it('ends an upload on the server when it is cancelled in the middle', async () => {
    expected = /status of 410/ // Uppy terminates it and so does the page, to be sure: one may come second
    const visit = await openPage()
    const { page, landfall } = visit
    const uploadId = await beginUpload(visit)
    expect(await quotaOf(landfall)).toMatchObject({ bytes: { reserved: video.size }, uploads: { open: 1 } })

    await page.getByRole('button', { name: `Cancel ${video.name}` }).click()
    await uploadRow(page, video.name, 'terminated').waitFor()
    await expect.poll(() => stateOf(landfall, uploadId), PATIENTLY).toBe('terminated')
    expect(await quotaOf(landfall)).toMatchObject({
      bytes: { used: 0, reserved: 0 },
      uploads: { open: 0, finished: 0 },
    })
    await page.getByTestId('quota').getByText('0 B used').waitFor()
    expect(await unfinishedRow(page, video.name).count()).toBe(0)
  })

  it('says in plain words why a file was rejected, and lets it be deleted', async () => {
    const { page, landfall } = await openPage()
    const file = asChosen(await eicarTailVideo())
    await chooseFile(page, file.path)
    const row = uploadRow(page, file.name, 'rejected')
    await row.getByText('The virus scanner found something harmful in this file').waitFor()
    expect(await row.locator('code').textContent()).toBe('infected')

    await mediaCard(page, file.name, 'rejected').getByRole('button').click()
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('button', { name: 'Delete' }).click()
    await page.getByTestId('confirm-delete-button').click()
    await dialog.waitFor({ state: 'detached' })
    expect(await mediaCard(page, file.name).count()).toBe(0)
    expect(await row.count()).toBe(0)
    const media = await landfall.db.selectFrom('landfall.media').select('status').execute()
    expect(media).toEqual([{ status: 'deleted' }])
  })

  it.each<[string, (visit: Visit) => Promise<void>, (visit: Visit) => Promise<void>]>([
    ['the connection breaks', async ({ proxy }) => proxy.cut(), async ({ proxy }) => proxy.restore()],
    [
      'the browser goes offline',
      async ({ page, proxy }) => {
        // First the browser is told: alone, that would leave running requests alone.
        await page.context().setOffline(true)
        proxy.cut()
      },
      async ({ page, proxy }) => {
        proxy.restore()
        await page.context().setOffline(false)
      },
    ],
  ])('finishes by itself after %s in the middle', async (_what, interrupt, mend) => {
    expected = /net::ERR_(INTERNET_DISCONNECTED|CONNECTION_RESET|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED)/
    const visit = await openPage()
    const { page, proxy, landfall, sights } = visit
    const uploadId = await beginUpload(visit)
    await interrupt(visit)
    await uploadRow(page, video.name, 'open').getByText('Interrupted, trying again').waitFor()
    proxy.release()
    await mend(visit)

    await uploadRow(page, video.name, 'ready').waitFor()
    expect(inOrder(sights.map((sight) => sight.state))).toEqual(['open', 'processing', 'ready'])
    const uploads = await landfall.db.selectFrom('landfall.uploads').select(['id', 'state']).execute()
    expect(uploads).toEqual([{ id: uploadId, state: 'received' }])
  })

  it('can be used with the keyboard and read by a screen reader', async () => {
    const visit = await openPage()
    const { page } = visit
    const picture = asChosen(await jpeg({ width: 1600, height: 900 }))
    await chooseFile(page, picture.path)
    await mediaCard(page, picture.name, 'ready').waitFor()
    await beginUpload(visit)

    const bar = page.getByRole('progressbar', { name: `Upload of ${video.name}` })
    expect(await bar.getAttribute('aria-valuemin')).toBe('0')
    expect(await bar.getAttribute('aria-valuemax')).toBe('100')
    expect(Number(await bar.getAttribute('aria-valuenow'))).toBeGreaterThan(0)
    expect(await namelessButtons(page)).toEqual([])

    const open = page.getByRole('button', { name: `Open ${picture.name}` })
    await open.focus()
    await page.keyboard.press('Enter')
    const dialog = page.getByRole('dialog', { name: picture.name })
    await dialog.waitFor()
    expect(await namelessButtons(page)).toEqual([])
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'detached' })
    expect(await open.evaluate((button) => button === document.activeElement)).toBe(true)
  })

  it('takes the code out of its address, and remembers it for reloads and other tabs', async () => {
    const { page, proxy } = await openPage()
    await page.getByText(`Signed in as ${USER}`).waitFor()
    expect(page.url()).toBe(`${proxy.url}/`)
    const forgetToken = () => localStorage.removeItem('landfall.token')
    await page.evaluate(forgetToken)
    await page.reload()
    await page.getByText(`Signed in as ${USER}`).waitFor()
    await page.evaluate(forgetToken)
    const tab = await page.context().newPage()
    await tab.goto(proxy.url)
    await tab.getByText(`Signed in as ${USER}`).waitFor()
  })

  it('asks for a token where its address has the code of another start', async () => {
    expected = /status of 404/ // of /dev/token: this is how the page learns that the code is none of this start
    const { page, proxy } = await openPage()
    // Its token must not come after what is kept was cleared.
    await page.getByText('Signed in as').waitFor()
    await page.evaluate(() => localStorage.clear())
    await page.goto(`${proxy.url}/?code=of-another-start`)
    await page.getByLabel('Token (JWT)').waitFor()
  })

  it('asks for a token where the server gives out none, and then goes on', async () => {
    const { page, landfall } = await openPage({ page: true, env: { AUTH_DEV_TOKENS: 'false' } })
    await page.getByLabel('Token (JWT)').fill(landfall.token('alice'))
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByText('Signed in as alice').waitFor()
    const picture = asChosen(await jpeg({ width: 1600, height: 900 }))
    await chooseFile(page, picture.path)
    await mediaCard(page, picture.name, 'ready').waitFor()
    const owners = await landfall.db.selectFrom('landfall.media').select('owner_id').execute()
    expect(owners).toEqual([{ owner_id: 'alice' }])
  })
})

type Visit = {
  page: Page
  proxy: TcpProxy
  landfall: Landfall
  /** What the upload rows have shown so far. */
  sights: RowSight[]
}

/** A browser calls a file by the name it has on the disk. */
function asChosen(file: Fixture): Fixture {
  return { ...file, name: basename(file.path) }
}

/** Without the repetitions that follow each other. */
function inOrder(values: readonly string[]): string[] {
  return values.filter((value, index) => value !== values[index - 1])
}

async function quotaOf(landfall: Landfall): Promise<unknown> {
  return await (await landfall.as(USER)('/api/v1/quota')).json()
}

async function stateOf(landfall: Landfall, uploadId: string): Promise<string> {
  const upload = await landfall.db
    .selectFrom('landfall.uploads')
    .select('state')
    .where('id', '=', asUploadId(uploadId))
    .executeTakeFirstOrThrow()
  return upload.state
}

/** Buttons that a screen reader would call just "button". */
async function namelessButtons(page: Page): Promise<string[]> {
  const tree = await page.locator('body').ariaSnapshot()
  return tree.split('\n').filter((line) => /^\s*- button(?! ")/.test(line))
}
