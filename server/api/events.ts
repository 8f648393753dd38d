import type { Request, RequestHandler, Response, Router } from 'express'
import type { z } from 'zod'
import type { Ledger } from '../../ledger/database.ts'
import { parseUploadId } from '../../ledger/ids.ts'
import { findUpload, type UploadRow } from '../../ledger/uploads.ts'
import { endTurn } from '../admission/owner-turns.ts'
import { principalOf } from '../auth/authenticate.ts'
import { authenticateStream, StreamTickets } from '../auth/stream-tickets.ts'
import type { Config } from '../config.ts'
import type { Connect, EventStreams } from '../events/event-streams.ts'
import { SseTransport } from '../events/sse-transport.ts'
import { WebSocketTransport } from '../events/websocket-transport.ts'
import { notFound, Problem } from '../http/errors.ts'
import { strictRouter } from '../http/routing.ts'
import { acceptWebSocket } from '../http/upgrades.ts'
import type { StreamTicket } from './schemas.ts'

export type EventsApiOptions = {
  db: Ledger
  streams: EventStreams
  config: Pick<Config, 'CORS_ORIGINS' | 'PUBLIC_URL'>
  /** Requires a bearer token. */
  authenticate: RequestHandler
}

/** The event streams of `/api/v1`, each as server-sent events and as a WebSocket, and the tickets that start them. */
export function eventsApi({ db, streams, config, authenticate }: EventsApiOptions): Router {
  const router = strictRouter()
  const tickets = new StreamTickets(db)
  const authenticated = authenticateStream(authenticate, tickets)

  async function uploadOf(request: Request, response: Response): Promise<UploadRow> {
    const id = parseUploadId(String(request.params.id))
    const upload = id && (await findUpload(db, principalOf(response).ownerId, id))
    if (!upload) throw notFound()
    return upload
  }

  /** The events of one upload or of an owner, by server-sent events or a WebSocket. */
  const streamOfUpload = async (request: Request, response: Response, connect: () => Connect) => {
    const upload = await uploadOf(request, response)
    await streams
      .streamOfUpload(upload, lastEventId(request) ?? 0, connect())
      .finally(() => endTurn(response))
  }
  const streamOfOwner = async (request: Request, response: Response, connect: () => Connect) => {
    const { ownerId } = principalOf(response)
    await streams.streamOfOwner(ownerId, lastEventId(request), connect()).finally(() => endTurn(response))
  }

  for (const [path, stream] of [
    ['/uploads/:id', streamOfUpload],
    ['', streamOfOwner],
  ] as const) {
    // Express answers HEAD as GET, and this one would never end.
    router.head(`${path}/events`, authenticated, async (request, response) => {
      if (path !== '') await uploadOf(request, response)
      response.type('text/event-stream').end()
    })
    router.get(`${path}/events`, authenticated, (request, response) =>
      stream(request, response, () => serverSent(response)),
    )
    router.get(path === '' ? '/events/ws' : `${path}/ws`, authenticated, (request, response) =>
      stream(request, response, () => {
        checkOrigin(request, config)
        return webSocket(request)
      }),
    )
  }

  router.post('/events/tickets', authenticate, async (_request, response) => {
    const { ticket, expiresAt } = await tickets.give(principalOf(response))
    const view: z.output<typeof StreamTicket> = { ticket, expiresAt: expiresAt.toISOString() }
    response.status(201).set('Cache-Control', 'no-store').json(view)
  })

  return router
}

function serverSent(response: Response): Connect {
  return function connect(isOver) {
    // A client that left meanwhile does not close again.
    if (response.destroyed) return undefined
    if (!isOver) return new SseTransport(response)
    // Tells an EventSource not to reconnect.
    response.status(204).end()
    return undefined
  }
}

function webSocket(request: Request): Connect {
  const accept = acceptWebSocket(request)
  return function connect(isOver) {
    const socket = accept()
    if (!socket) return undefined
    const transport = new WebSocketTransport(socket)
    if (!isOver) return transport
    transport.end('over')
    return undefined
  }
}

/** CORS does not apply to WebSockets: the origin is checked here. */
function checkOrigin(request: Request, { CORS_ORIGINS, PUBLIC_URL }: EventsApiOptions['config']): void {
  const { origin, host } = request.headers
  if (origin === undefined || CORS_ORIGINS.includes('*') || CORS_ORIGINS.includes(origin)) return
  // The page of this server is allowed.
  const isOurs =
    URL.parse(origin)?.host === host || (PUBLIC_URL !== undefined && URL.parse(PUBLIC_URL)?.origin === origin)
  if (!isOurs) throw new Problem('forbidden', 'Requests from this origin are not allowed.')
}

/**
 * The last event of the client; undefined where it begins. The header is newer than the address, which stays the same
 * when an EventSource reconnects.
 */
function lastEventId(request: Request): number | undefined {
  const text = request.get('Last-Event-ID') || request.query.lastEventId
  if (text === undefined || text === '') return undefined
  if (typeof text !== 'string' || !/^\d{1,15}$/.test(text))
    throw new Problem('invalid-header', 'Last-Event-ID is not an event id of this server.')
  return Number(text)
}
