import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { jpeg } from '../fixtures/media.ts'
import { requires } from '../services/requirements.ts'
import { launchBrowser } from '../support/browser.ts'
import { curl } from '../support/curl.ts'
import { type Landfall, startLandfall } from '../support/landfall.ts'
import { inTenant } from '../support/tenant.ts'
import { outcome } from '../support/uploads.ts'

type Answer = { id: string; uploadId: string; title: string; ownerId: string; code?: string }

const hasCurl = requires('curl')
const chromium = requires('chromium')
const ffmpeg = requires('ffmpeg')

describe.skipIf(!hasCurl.met || !chromium.met || !ffmpeg.met)('a form', () => {
  let landfall: Landfall
  let browser: Browser
  beforeAll(async () => {
    landfall = await startLandfall({ env: { SCAN: 'off', CORS_ORIGINS: '*' } })
    browser = await launchBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    await landfall?.close()
  })

  async function ticket(): Promise<string> {
    const backend = inTenant(landfall, null, 'service').as('backend')
    const answer = await backend('/api/v1/tickets?owner=alice', { method: 'POST' })
    return ((await answer.json()) as { token: string }).token
  }

  it('of curl is received', async () => {
    const { path } = await jpeg({ width: 640, height: 480 })
    const answer = await curl([
      ...['-H', `Authorization: Bearer ${landfall.token('alice')}`],
      ...['-F', 'title=A film', '-F', `file=@${path}`, `${landfall.url}/api/v1/media`],
    ])
    expect(answer.status).toBe(201)
    const { uploadId, title } = JSON.parse(answer.body.toString()) as Answer
    expect(title).toBe('A film')
    expect((await outcome(landfall, 'alice', uploadId)).status).toBe('ready')
  })

  it('of curl may be only a body', async () => {
    const { path } = await jpeg({ width: 640, height: 480 })
    const answer = await curl([
      ...['-H', `Authorization: Bearer ${landfall.token('alice')}`, '-H', 'Content-Type: image/jpeg'],
      ...[
        '-H',
        'Prefer: wait=30',
        '--data-binary',
        `@${path}`,
        `${landfall.url}/api/v1/media?filename=a.jpg`,
      ],
    ])
    expect(answer.status).toBe(201)
    expect(JSON.parse(answer.body.toString())).toMatchObject({ status: 'ready', filename: 'a.jpg' })
  })

  it('of a browser is sent by HTML alone, with a ticket in its address', async () => {
    const page = await browser.newPage()
    await page.setContent(`
        <form method="post" enctype="multipart/form-data"
              action="${landfall.url}/api/v1/media?ticket=${await ticket()}">
          <input name="title" value="Grüße"><input type="file" name="file"><button>Send</button>
        </form>`)
    await page.setInputFiles('input[type=file]', (await jpeg({ width: 640, height: 480 })).path)
    const [response] = await Promise.all([page.waitForResponse(/\/api\/v1\/media/), page.click('button')])
    expect(response.status()).toBe(201)
    const { uploadId, title, ownerId } = (await response.json()) as Answer
    expect([title, ownerId]).toEqual(['Grüße', 'alice'])
    expect((await outcome(landfall, 'alice', uploadId)).status).toBe('ready')
    await page.close()
  })

  it('of a browser is sent by XMLHttpRequest of another origin, once for a ticket, and hears of its refusal', async () => {
    const page = await browser.newPage()
    await page.setContent('<input type="file">')
    await page.setInputFiles('input', (await jpeg({ width: 640, height: 480 })).path)
    const send = (token: string) =>
      page.evaluate(
        ([url, token]) =>
          new Promise<{ status: number; text: string; sent: number }>((resolve, reject) => {
            const request = new XMLHttpRequest()
            let sent = 0
            request.upload.onprogress = (event) => {
              sent = event.loaded
            }
            request.onload = () => resolve({ status: request.status, text: request.responseText, sent })
            request.onerror = () => reject(new Error('the request failed'))
            request.open('POST', `${url}/api/v1/media`)
            request.setRequestHeader('Authorization', `Bearer ${token}`)
            const form = new FormData()
            form.append('lesson', '1')
            form.append('file', document.querySelector('input')?.files?.[0] as File)
            request.send(form)
          }),
        [landfall.url, token] as const,
      )
    const token = await ticket()
    const first = await send(token)
    expect([first.status, first.sent > 1000]).toEqual([201, true])
    const { uploadId } = JSON.parse(first.text) as Answer
    expect((await outcome(landfall, 'alice', uploadId)).status).toBe('ready')
    const second = await send(token)
    expect([second.status, (JSON.parse(second.text) as Answer).code]).toEqual([403, 'ticket-used'])
    await page.close()
  })
})
