import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { Webhook } from 'standardwebhooks'

/** Two secrets as `WEBHOOK_SECRET` takes them. */
export const SECRETS = [1, 2].map((byte) => `whsec_${Buffer.alloc(32, byte).toString('base64')}`)

export type Received = {
  /** `webhook-id` */
  id: string
  headers: IncomingHttpHeaders
  body: string
  type: string
  /** Of the upload it tells of. */
  uploadId: string
  data: Record<string, unknown>
  timestamp: string
  atMs: number
}

/** Answers a message; `earlier` have come before it. */
export type Answer = (response: ServerResponse, message: Received, earlier: readonly Received[]) => void

export type Receiver = {
  url: string
  /** Every request, in the order in which they came. */
  received: Received[]
  /** Those with another id than all before. */
  distinct(): Received[]
  /** Most requests of one upload that were open at the same time. */
  maxAtOnce(): number
  answer: Answer
  /** Resolves as soon as what has been received is enough; fails after ten seconds. */
  until(isEnough: (received: readonly Received[]) => boolean): Promise<void>
  close(): Promise<void>
}

const TIMEOUT_MS = 10_000

export const ok: Answer = (response) => void response.writeHead(204).end()
export const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (response) =>
    void response.writeHead(code, headers).end()

/** Somebody's backend, on loopback: checks every signature by the library, with each of the secrets. */
export async function startReceiver(answer: Answer = ok): Promise<Receiver> {
  const open = new Map<string, number>()
  const waiting = new Set<() => void>()
  let most = 0
  const server = createServer(async (request, response) => {
    const body = await text(request)
    const headers = Object.fromEntries(Object.entries(request.headers).map(([k, v]) => [k, String(v)]))
    for (const secret of SECRETS) new Webhook(secret).verify(body, headers)
    const { type, data, timestamp } = JSON.parse(body)
    const uploadId = String(type.startsWith('upload.') ? data.id : data.uploadId)
    const id = headers['webhook-id'] ?? ''
    const message = { id, headers, body, type, uploadId, data, timestamp, atMs: performance.now() }
    const atOnce = (open.get(uploadId) ?? 0) + 1
    most = Math.max(most, atOnce)
    open.set(uploadId, atOnce)
    response.once('close', () => open.set(uploadId, (open.get(uploadId) ?? 1) - 1))
    const earlier = [...receiver.received]
    receiver.received.push(message)
    receiver.answer(response, message, earlier)
    for (const look of waiting) look()
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const receiver: Receiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=of-the-operator`,
    received: [],
    answer,
    maxAtOnce: () => most,
    distinct: () =>
      [...new Map(receiver.received.toReversed().map((one) => [one.id, one])).values()].reverse(),
    async until(isEnough) {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const look = () => isEnough(receiver.received) && resolve()
      const types = () => receiver.received.map(({ type }) => type).join(', ')
      const timer = setTimeout(() => reject(new Error(`received only: ${types()}`)), TIMEOUT_MS)
      waiting.add(look)
      look()
      await promise.finally(() => {
        clearTimeout(timer)
        waiting.delete(look)
      })
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return receiver
}
