/**
 * Makes docs/page.png, the picture of the web page in the README: `node scripts/page-picture.ts ADDRESS`, where ADDRESS is
 * that of the page as a fresh server with development tokens has printed it, with its code: such as
 * `DATA_DIR=/tmp/empty npm start`. ffmpeg and Chromium must be there. `--all` adds a dark one, a phone's and the player's as page-*.png in the temporary directory.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { execa } from 'execa'
import { type BrowserContextOptions, chromium, type Page } from 'playwright-core'

const { positionals, values } = parseArgs({ allowPositionals: true, options: { all: { type: 'boolean' } } })
const url = positionals[0] ?? ''
if (!url.includes('?code='))
  throw new Error('give the address of the page that the server has printed, with ?code=')
const docs = path.resolve(import.meta.dirname, '..', 'docs')

const sunset = (() => {
  const height = '(Y/430)'
  const sun = 'exp(-pow(hypot(X-860,Y-400)/62,6))'
  const glow = 'exp(-hypot(X-860,(Y-400)*1.5)/260)'
  const near = '((Y-430)/290)'
  const glitter = `exp(-abs(X-860)/(30+260*${near}))*(0.5+0.5*sin(X/(9+70*${near})+9*sin(Y/3)+Y*0.9))`
  const paint = (sky: string, sea: string) => `clip(if(gt(Y,430),${sea},${sky}),0,255)`
  return {
    red: paint(`50+170*pow(${height},1.3)+160*${glow}+200*${sun}`, `30+20*(1-${near})+200*${glitter}`),
    green: paint(`40+80*pow(${height},2)+90*${glow}+190*${sun}`, `36+44*(1-${near})+130*${glitter}`),
    blue: paint(`110+10*${height}-20*${glow}+120*${sun}`, `78+50*(1-${near})+50*${glitter}`),
  }
})()

const hills = (() => {
  const ridges = [
    'gt(Y,300+40*sin(X/170+0.4)+14*sin(X/53+1))',
    'gt(Y,380+48*sin(X/220+2.1)+16*sin(X/67))',
    'gt(Y,460+42*sin(X/190+4)+18*sin(X/83+2))',
    'gt(Y,550+46*sin(X/260+1.2)+14*sin(X/61+3))',
    'gt(Y,630+34*sin(X/210+5)+12*sin(X/47+1))',
  ]
  const paint = (sky: string, ...shades: number[]) =>
    ridges.reduce((behind, ridge, index) => `if(${ridge},${shades[index]},${behind})`, sky)
  return {
    red: paint('232-60*Y/720', 160, 112, 62, 28, 12),
    green: paint('240-20*Y/720', 190, 152, 106, 66, 38),
    blue: paint('236+10*Y/720', 202, 170, 128, 88, 52),
  }
})()

const dunes = (() => {
  const light = '(0.5+0.5*sin(X/150+Y/48+1.6*sin(Y/95)+0.8*sin(X/90)))'
  const paint = (sky: string, sand: string) => `if(lt(Y,190+34*sin(X/230+1)),${sky},${sand})`
  return {
    red: paint('120+100*Y/200', `150+100*pow(${light},1.5)`),
    green: paint('175+30*Y/200', `82+92*pow(${light},1.5)`),
    blue: paint('205-10*Y/200', `44+58*pow(${light},2)`),
  }
})()

const northernLights = (() => {
  const green = 'exp(-abs(Y-260-70*sin(X/210)-30*sin(X/77))/95)*(0.55+0.45*sin(X/13+6*sin(X/90)))'
  const violet = 'exp(-abs(Y-180-60*sin(X/160+2))/70)*(0.5+0.5*sin(X/17+4*sin(X/70)))'
  const paint = (ground: number, sky: string) =>
    `clip(if(gt(Y,600+30*sin(X/120)+22*sin(X/47+1)),${ground},${sky}),0,255)`
  return {
    red: paint(5, `10+30*${green}+110*${violet}`),
    green: paint(12, `18+205*${green}+40*${violet}`),
    blue: paint(16, `42+120*${green}+130*${violet}`),
  }
})()

/** Red, green and blue of each pixel at (X, Y), as ffmpeg's `geq` computes them. */
const painted = ({ red, green, blue }: Record<'red' | 'green' | 'blue', string>) => [
  '-i',
  'nullsrc=size=1280x720:rate=1,format=rgb24',
  '-vf',
  `geq=r='${red}':g='${green}':b='${blue}'`,
]

const deepZoom = [
  '-i',
  'mandelbrot=size=1280x720:start_scale=0.006:end_scale=0.006:start_x=-0.743643887:start_y=-0.131825904' +
    ':maxiter=900:inner=black:outer=normalized_iteration_count',
  '-vf',
  'format=gray,format=yuv444p,pseudocolor=preset=inferno,format=rgb24',
]

const ffmpeg = (...args: string[]) => execa('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args])

/** Files for the library, the one to come first in it last; and one to be seen on its way. */
async function makeFiles(folder: string): Promise<{ library: string[]; sent: string }> {
  const file = (name: string) => path.join(folder, name)
  const still = async (name: string, source: readonly string[]) => {
    await ffmpeg('-f', 'lavfi', ...source, '-frames:v', '1', '-update', '1', file(name))
    return file(name)
  }
  /** A slow move over a still picture, with a soft tone. */
  const clip = async (name: string, picture: string, seconds: number, size: string, ...coding: string[]) => {
    const move = `zoompan=z='1+0.0006*on':d=${seconds * 24}:fps=24:s=${size}`
    const sound = ['-f', 'lavfi', '-i', `sine=frequency=220:duration=${seconds},volume=0.1`]
    await ffmpeg('-i', picture, ...sound, '-vf', `${move},format=yuv420p`, '-shortest', ...coding, file(name))
    return file(name)
  }
  const fast = ['-preset', 'ultrafast']

  const bay = await still('bay.png', painted(sunset))
  const sand = await still('sand.png', painted(dunes))
  const lights = await still('lights.png', painted(northernLights))
  const library = [
    await still('Deep zoom.png', deepZoom),
    await clip('Aurora.webm', lights, 6, '1280x720', '-deadline', 'realtime', '-cpu-used', '8'),
    await still('Morning fog.jpg', painted(hills)),
    await clip('Dunes at noon.mov', sand, 12, '1920x1080', ...fast),
    await clip('Evening bay.mp4', bay, 24, '1920x1080', ...fast),
  ]
  const large = ['-b:v', '20M', '-minrate', '20M']
  const sent = await clip('Crossing, day 3.mp4', bay, 20, '1920x1080', ...fast, ...large)
  return { library, sent }
}

async function choose(page: Page, file: string): Promise<void> {
  await page.getByTestId('file-input').setInputFiles(file)
}

const folder = await mkdtemp(path.join(tmpdir(), 'landfall-picture-'))
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-sync',
  ],
})

/** A page with the library full and one upload almost half way. */
async function openPage(options: BrowserContextOptions, sent: string): Promise<Page> {
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options })
  const page = await context.newPage()
  await page.goto(url)
  await page.getByText('Library').waitFor()
  await page.locator('[data-testid="media-card"] img').first().waitFor()
  const session = await context.newCDPSession(page)
  await session.send('Network.emulateNetworkConditions', {
    offline: false,
    latency: 20,
    downloadThroughput: -1,
    uploadThroughput: 2_500_000,
  })
  await choose(page, sent)
  const bar = page.locator('[data-testid="upload-row"] [role="progressbar"]')
  await page.waitForFunction(
    (element) => Number(element?.getAttribute('aria-valuenow')) >= 42,
    await bar.elementHandle(),
  )
  return page
}

try {
  const { library, sent } = await makeFiles(folder)
  const filling = await browser.newPage()
  await filling.goto(url)
  await filling.getByText('Signed in as').waitFor()
  for (const file of library) {
    await choose(filling, file)
    await filling.locator(`[data-name="${path.basename(file)}"][data-status="ready"]`).waitFor()
  }
  await filling.close()

  const size = { width: 1280, height: 1000 }
  const cancel = async (page: Page) => {
    await page.getByTestId('cancel-button').click()
    await page.locator('[data-testid="upload-row"][data-state="terminated"]').waitFor()
    await page.waitForResponse((response) => response.request().method() === 'DELETE').catch(() => undefined)
    await page.context().close()
  }
  /** Takes pictures of a page in this setting. */
  const picture = async (options: BrowserContextOptions, shoot: (page: Page) => Promise<unknown>) => {
    const page = await openPage({ viewport: size, ...options }, sent)
    await shoot(page)
    await cancel(page)
  }
  const whole = (file: string) => (page: Page) => page.screenshot({ path: file, fullPage: true })
  const beside = (name: string) => path.join(tmpdir(), name)
  await picture({ colorScheme: 'light' }, whole(path.join(docs, 'page.png')))
  if (values.all) {
    await picture({ colorScheme: 'dark' }, whole(beside('page-dark.png')))
    const phone = {
      viewport: { width: 390, height: 844 },
      deviceScaleFactor: 2,
      isMobile: true,
      hasTouch: true,
    }
    const openVideo = (page: Page) => page.getByRole('button', { name: 'Open Evening bay.mp4' }).click()
    await picture(phone, async (page) => {
      await whole(beside('page-phone.png'))(page)
      await openVideo(page)
      await page.getByRole('dialog').waitFor()
      await page.screenshot({ path: beside('page-phone-player.png') })
      await page.keyboard.press('Escape')
    })
    await picture({ colorScheme: 'light' }, async (page) => {
      await openVideo(page)
      await page.locator('video').evaluate((video: HTMLVideoElement) => video.play())
      await page.waitForFunction(() => (document.querySelector('video')?.currentTime ?? 0) > 1)
      await page.screenshot({ path: beside('page-player.png') })
      await page.keyboard.press('Escape')
    })
  }
} finally {
  await browser.close()
  await rm(folder, { recursive: true, force: true })
}
