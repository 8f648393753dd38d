import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { asMp4 } from '../../test/support/sample-bytes.ts'

export type Times = Record<'upload' | 'list' | 'offset', number[]>

export type Day = {
  /** Milliseconds of each. `upload` is a creation and a PATCH of 16 KiB. */
  times: Times
  /** How often which status was answered, where it is not the expected one. */
  unexpected: Record<string, number>
}

const BODY = asMp4(Buffer.alloc(16 * 1024, 7))
const PAUSE_MS = 10

/** What one ordinary owner does on one connection: small uploads, lists, offsets. */
export class Ordinary {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  readonly #url: string
  readonly #token: string

  constructor(url: string, token: string) {
    this.#url = url
    this.#token = token
  }

  /** One after the other until it is over. */
  async live(isOver: () => boolean): Promise<Day> {
    const day: Day = { times: { upload: [], list: [], offset: [] }, unexpected: {} }
    const expect = (status: number, wanted: number) => {
      if (status !== wanted) day.unexpected[status] = (day.unexpected[status] ?? 0) + 1
      return status === wanted
    }
    while (!isOver()) {
      let began = performance.now()
      const headers = { 'Upload-Length': BODY.length + 1, 'Upload-Metadata': `filename ${btoa('a.mp4')}` }
      const created = await this.ask('/files', { method: 'POST', headers })
      if (!expect(created.status, 201)) continue
      const path = new URL(created.location, this.#url).pathname
      const patched = await this.ask(path, {
        method: 'PATCH',
        headers: { 'Upload-Offset': 0, 'Content-Type': 'application/offset+octet-stream' },
        body: BODY,
      })
      if (expect(patched.status, 204)) day.times.upload.push(performance.now() - began)
      await sleep(PAUSE_MS)
      began = performance.now()
      if (expect((await this.ask(path, { method: 'HEAD' })).status, 200))
        day.times.offset.push(performance.now() - began)
      await sleep(PAUSE_MS)
      began = performance.now()
      if (expect((await this.ask('/api/v1/media')).status, 200))
        day.times.list.push(performance.now() - began)
      await sleep(PAUSE_MS)
      expect((await this.ask(path, { method: 'DELETE' })).status, 204)
    }
    return day
  }

  async ask(
    path: string,
    asked: { method?: string; headers?: Record<string, string | number>; body?: Uint8Array } = {},
  ): Promise<{ status: number; location: string; text: string }> {
    const { method = 'GET', headers = {}, body } = asked
    const sent = request(new URL(path, this.#url), {
      method,
      agent: this.#agent,
      headers: {
        Authorization: `Bearer ${this.#token}`,
        'Tus-Resumable': '1.0.0',
        'Content-Length': body?.length ?? 0,
        ...headers,
      },
    })
    sent.end(body)
    const [answer] = await once(sent, 'response')
    let text = ''
    for await (const chunk of answer) text += chunk
    return { status: answer.statusCode, location: String(answer.headers.location), text }
  }

  close(): void {
    this.#agent.destroy()
  }
}
