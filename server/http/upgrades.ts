import { type IncomingMessage, type RequestListener, type Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import { Problem } from './errors.ts'
import { answerMalformed } from './malformed.ts'

type PendingUpgrade = { socket: Socket; head: Buffer; response: ServerResponse }

/** Requests whose connections could become WebSockets. */
const pendingUpgrades = new WeakMap<IncomingMessage, PendingUpgrade>()

/** Clients send no messages on a stream. */
const MAX_MESSAGE_BYTES = 1024
/** Time for the peer's half of a close. */
const CLOSE_MS = 1000

const sockets = new WebSocketServer({
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
  maxPayload: MAX_MESSAGE_BYTES,
  ...{ closeTimeout: CLOSE_MS },
})

/**
 * Whether Node should upgrade a request: for a WebSocket only. Other upgrades, such as to HTTP/2, may be ignored (RFC
 * 9110 § 7.8).
 */
export const isUpgrade = ({ method, headers }: IncomingMessage): boolean =>
  method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket'

/**
 * Lets `app` handle upgrades like other requests: its route calls `acceptWebSocket`, or its response is sent and the
 * connection closed.
 */
export function answerUpgrades(server: Server, app: RequestListener): void {
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    // There is no other listener, and an error would end the process.
    socket.on('error', () => socket.destroy())
    // Node's own timeout has gone with its listener. A WebSocket removes this one.
    socket.setTimeout(server.timeout, () => socket.destroy())
    // Before 24.9 Node takes out every upgrade, and the body of a request other than GET would not be read.
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return answerMalformed(new Error('not to be upgraded'), socket)
    const response = new ServerResponse(request)
    response.shouldKeepAlive = false
    response.assignSocket(socket)
    response.once('finish', () => {
      response.detachSocket(socket)
      socket.destroySoon()
    })
    if (isUpgrade(request)) pendingUpgrades.set(request, { socket, head, response })
    app(request, response)
  })
}

/**
 * Checks that a request asks for a WebSocket (RFC 6455 § 4.2.1), and returns the function that makes its connection
 * one; that returns undefined where the client has left. Fails with `upgrade-required` or `invalid-request`.
 */
export function acceptWebSocket(request: IncomingMessage): () => WebSocket | undefined {
  const upgrade = pendingUpgrades.get(request)
  if (!upgrade || request.headers['sec-websocket-version'] !== '13') {
    throw new Problem('upgrade-required', 'The resource accepts WebSocket connections of version 13 only.', {
      headers: { Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' },
    })
  }
  if (!/^[A-Za-z0-9+/]{22}==$/.test(request.headers['sec-websocket-key'] ?? '')) {
    throw new Problem('invalid-request', 'Sec-WebSocket-Key is missing or malformed.')
  }
  return function accept() {
    const { socket, head, response } = upgrade
    if (socket.destroyed || !socket.writable) return undefined
    pendingUpgrades.delete(request)
    // `ws` writes the response; this is for the log and metrics.
    response.statusCode = 101
    response.detachSocket(socket)
    socket.setTimeout(0)
    let accepted: WebSocket | undefined
    sockets.handleUpgrade(request, socket, head, (opened) => {
      accepted = opened
    })
    return accepted
  }
}
