import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { WebSocket } from 'ws'
import type { StreamEvent } from './event-reader.ts'
import type { Target } from './tus.ts'

/** A WebSocket of an event stream that is open, and what came of it. */
export type EventSocket = {
  socket: WebSocket
  events: StreamEvent[]
  /** The code with which the server closed it. */
  closed: Promise<number>
}

export async function openSocket(
  target: Target,
  sub: string | undefined,
  path: string,
  options: { autoPong?: boolean; origin?: string } = {},
): Promise<EventSocket> {
  const socket = new WebSocket(target.url.replace('http', 'ws') + path, {
    headers: sub === undefined ? {} : { Authorization: `Bearer ${target.token(sub)}` },
    ...options,
  })
  const events: StreamEvent[] = []
  socket.on('message', (data) => {
    const { event, id, data: told } = JSON.parse(String(data))
    events.push({ event, id: id === undefined ? undefined : String(id), data: told })
  })
  const closed = new Promise<number>((resolve) => socket.once('close', resolve))
  await once(socket, 'open')
  return { socket, events, closed }
}

export type Refusal = { status: number; code: string | undefined; connection: string | undefined }

/** A request that asks for an upgrade and gets an answer instead, on a connection that the server then closes. */
export async function refusedUpgrade(
  target: Target,
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<Refusal> {
  const sent: ClientRequest = request(new URL(path, target.url), {
    method,
    agent: false,
    headers: {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': Buffer.alloc(16).toString('base64'),
      ...headers,
    },
  })
  sent.end()
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  const text = (await answer.toArray()).map(String).join('')
  const isProblem = answer.headers['content-type'] === 'application/problem+json'
  return {
    status: answer.statusCode ?? 0,
    code: isProblem ? (JSON.parse(text) as { code: string }).code : undefined,
    connection: answer.headers.connection,
  }
}
