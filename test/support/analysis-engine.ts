import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { Webhook } from 'standardwebhooks'

export const ENGINE_SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`

export type Asked = {
  /** `webhook-id` */
  id: string
  headers: IncomingHttpHeaders
  mediaId: string
  media: Record<string, unknown>
  sourceUrl: string
  callbackUrl: string
}

export type EngineAnswer = (response: ServerResponse, asked: Asked) => void

export type AnalysisEngine = {
  url: string
  asked: Asked[]
  answer: EngineAnswer
  close(): Promise<void>
}

export const says =
  (report: unknown, code = 200): EngineAnswer =>
  (response) =>
    void response
      .writeHead(code, { 'Content-Type': 'application/json' })
      .end(typeof report === 'string' ? report : JSON.stringify(report))

/** Somebody's moderation service, on loopback. What is not signed with its secret ends the test. */
export async function startAnalysisEngine(answer: EngineAnswer): Promise<AnalysisEngine> {
  const server = createServer(async (request, response) => {
    const body = await text(request)
    const headers = Object.fromEntries(Object.entries(request.headers).map(([k, v]) => [k, String(v)]))
    new Webhook(ENGINE_SECRET).verify(body, headers)
    const { media, sourceUrl, callbackUrl } = JSON.parse(body).data
    const id = headers['webhook-id'] ?? ''
    const asked = { id, headers, mediaId: media.id, media, sourceUrl, callbackUrl }
    engine.asked.push(asked)
    engine.answer(response, asked)
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const engine: AnalysisEngine = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/analyse`,
    asked: [],
    answer,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return engine
}

/** Sends a report as the engine does later: signed, or with what else is in `headers`. */
export async function callBack(
  url: string,
  report: unknown,
  { headers = {}, secret = ENGINE_SECRET, at = new Date() }: CallBackOptions = {},
): Promise<Response> {
  const body = typeof report === 'string' ? report : JSON.stringify(report)
  const signed = {
    'webhook-id': 'msg_1',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(secret).sign('msg_1', at, body),
  }
  return await fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...('Authorization' in headers ? headers : signed) },
    body,
  })
}

export type CallBackOptions = { headers?: Record<string, string>; secret?: string; at?: Date }
