import type { Request, Response } from 'express'
import type { z } from 'zod'
import type { Ledger } from '../../ledger/database.ts'
import { endTurn } from '../admission/owner-turns.ts'
import { giveTicket } from '../auth/stream-tickets.ts'
import type { Config } from '../config.ts'
import type { Connect, EventStreams } from '../events/event-streams.ts'
import { SseTransport } from '../events/sse-transport.ts'
import { WebSocketTransport } from '../events/websocket-transport.ts'
import type { AddressesOf } from '../http/addresses.ts'
import { Problem } from '../http/errors.ts'
import { acceptWebSocket } from '../http/upgrades.ts'
import { UPLOAD_ID } from '../routes/param.ts'
import { type Call, route } from '../routes/route.ts'
import { body, empty, json } from './answers.ts'
import { StreamQuery, StreamTicket } from './schemas.ts'
import { ownUpload } from './uploads.ts'

export type EventsServices = {
  db: Ledger
  streams: EventStreams
  addressesOf: AddressesOf
  config: Pick<Config, 'CORS_ORIGINS'>
}

const OF_UPLOAD = { params: { id: UPLOAD_ID }, query: StreamQuery }
const OF_OWNER = { query: StreamQuery }
type OfUpload = Call<'token-or-ticket', typeof OF_UPLOAD.params, typeof StreamQuery>
type OfOwner = Call<'token-or-ticket', Record<never, never>, typeof StreamQuery>

const EVENTS = body('`progress`, `step` and `state` events', 'text/event-stream')
const OVER = empty('No more events can follow')
const MESSAGES = empty('A JSON message for each event')
const HEAD = empty('The stream exists')

/** The event streams, each as server-sent events and as a WebSocket, and the tickets that open them. */
export const eventsRoutes = [
  // Express answers HEAD like GET, and that response would never end.
  route('head', '/api/v1/uploads/:id/events', 'token-or-ticket', {
    ...OF_UPLOAD,
    answers: { 200: HEAD },
    summary: 'Whether an upload has events',
    async handle({ response, who, params }, { db }: EventsServices) {
      await ownUpload(db, who.ownerId, params.id)
      response.type('text/event-stream').end()
    },
  }),
  route('get', '/api/v1/uploads/:id/events', 'token-or-ticket', {
    ...OF_UPLOAD,
    answers: { 200: EVENTS, 204: OVER },
    summary: 'The events of an upload, as server-sent events',
    handle: (call, services: EventsServices) => streamOfUpload(call, services, serverSent(call.response)),
  }),
  route('get', '/api/v1/uploads/:id/ws', 'token-or-ticket', {
    ...OF_UPLOAD,
    answers: { 101: MESSAGES },
    summary: 'The same over a WebSocket',
    handle: (call, services: EventsServices) =>
      streamOfUpload(call, services, webSocket(call.request, services)),
  }),
  route('head', '/api/v1/events', 'token-or-ticket', {
    ...OF_OWNER,
    answers: { 200: HEAD },
    summary: 'Whether the owner may have a stream',
    handle: ({ response }) => void response.type('text/event-stream').end(),
  }),
  route('get', '/api/v1/events', 'token-or-ticket', {
    ...OF_OWNER,
    answers: { 200: EVENTS },
    summary: 'The events of all uploads of the owner, as server-sent events',
    handle: (call, services: EventsServices) => streamOfOwner(call, services, serverSent(call.response)),
  }),
  route('get', '/api/v1/events/ws', 'token-or-ticket', {
    ...OF_OWNER,
    answers: { 101: MESSAGES },
    summary: 'The same over a WebSocket',
    handle: (call, services: EventsServices) =>
      streamOfOwner(call, services, webSocket(call.request, services)),
  }),
  route('post', '/api/v1/events/tickets', 'token', {
    answers: { 201: json(StreamTicket) },
    summary: 'A ticket that opens streams for one minute, for clients that cannot send headers',
    description: '`{ ticket, expiresAt }`',
    async handle({ response, who }, { db }: EventsServices) {
      const { ticket, expiresAt } = await giveTicket(db, who)
      const view: z.output<typeof StreamTicket> = { ticket, expiresAt: expiresAt.toISOString() }
      response.status(201).set('Cache-Control', 'no-store').json(view)
    },
  }),
]

/** `open`: checks the request, once the upload is known, and returns how to connect. */
async function streamOfUpload(
  { request, response, who, params, query }: OfUpload,
  { db, streams }: EventsServices,
  open: () => Connect,
): Promise<void> {
  const upload = await ownUpload(db, who.ownerId, params.id)
  const after = lastEventId(request, query.lastEventId) ?? 0
  await streams.streamOfUpload(upload, after, open()).finally(() => endTurn(response))
}

async function streamOfOwner(
  { request, response, who, query }: OfOwner,
  { streams }: EventsServices,
  open: () => Connect,
): Promise<void> {
  const after = lastEventId(request, query.lastEventId)
  await streams.streamOfOwner(who.ownerId, after, open()).finally(() => endTurn(response))
}

function serverSent(response: Response): () => Connect {
  return () =>
    function connect(isOver) {
      // A client that left meanwhile does not close again.
      if (response.destroyed) return undefined
      if (!isOver) return new SseTransport(response)
      // Tells an EventSource not to reconnect.
      response.status(204).end()
      return undefined
    }
}

function webSocket(request: Request, services: OriginServices): () => Connect {
  return function open() {
    checkOrigin(request, services)
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
}

type OriginServices = Pick<EventsServices, 'addressesOf' | 'config'>

/** CORS does not apply to WebSockets: the origin is checked here. */
function checkOrigin(request: Request, { addressesOf, config: { CORS_ORIGINS } }: OriginServices): void {
  const { origin, host } = request.headers
  if (origin === undefined || CORS_ORIGINS.includes('*') || CORS_ORIGINS.includes(origin)) return
  // The page of this server is allowed, also where a proxy has changed the Host.
  const isOurs = URL.parse(origin)?.host === host || addressesOf(request).origin === origin
  if (!isOurs) throw new Problem('forbidden', 'Requests from this origin are not allowed.')
}

/**
 * The last event of the client; undefined where it begins. The header is newer than the address, which stays the same
 * when an EventSource reconnects.
 */
function lastEventId(request: Request, inQuery: string | undefined): number | undefined {
  const text = request.get('Last-Event-ID') || inQuery
  if (text === undefined || text === '') return undefined
  if (!/^\d{1,15}$/.test(text))
    throw new Problem('invalid-header', 'Last-Event-ID is not an event id of this server.')
  return Number(text)
}
