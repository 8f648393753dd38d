import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Log } from '../process/log.ts'
import type { Deadlines } from './deadlines.ts'
import { answerMalformed, isUnderWay, watchResponses } from './malformed.ts'
import { isUpgrade } from './upgrades.ts'

/** Times of silence in which a request waits for the answer of the server: far more than its own limits need. */
const MAX_WAITS = 100

export type ListenerOptions = {
  deadlines: Deadlines
  maxHeaderBytes: number
  maxConnections: number
  /** A connection without a byte for this long is closed. */
  silenceMs: number
  log: Log
  /** Called for each connection that was refused by the limit. */
  onRefused: () => void
}

/** Interval of the check of header deadlines. */
const CHECK_MS = 1_000
/** A flood of connections is logged once in this time. */
const LOG_MS = 10_000
/** Interval of closing idle connections where there are too many. */
const ROOM_MS = 1_000

/** An HTTP server with a limited number of connections, none of which lives longer than allowed. */
export function createListener(app: RequestListener, options: ListenerOptions): Server {
  const { deadlines, log } = options
  const server = createServer(
    {
      // A body may take hours; `timeout` ends silent connections, and `limitTime` the others.
      requestTimeout: 0,
      headersTimeout: deadlines.headersMs,
      connectionsCheckingInterval: Math.min(CHECK_MS, deadlines.headersMs),
      keepAliveTimeout: deadlines.idleMs,
      maxHeaderSize: options.maxHeaderBytes,
      shouldUpgradeCallback: isUpgrade,
    },
    app,
  )
  watchResponses(server)
  server.on('clientError', answerMalformed)
  server.timeout = options.silenceMs
  const waits = new WeakMap<Socket, number>()
  server.on('request', ({ socket }, response) => response.once('finish', () => waits.delete(socket)))
  server.on('timeout', (socket: Socket) => {
    // Where nothing is to be sent, it is the server that has not answered yet: by a lease, a turn or a slow storage.
    // Its wait is no silence of the client; that of a client whose body is expected is limited by `requestBody`.
    const waited = waits.get(socket) ?? 0
    if (!isUnderWay(socket) || socket.writableLength > 0 || waited >= MAX_WAITS) return void socket.destroy()
    waits.set(socket, waited + 1)
    socket.setTimeout(options.silenceMs)
  })
  server.maxConnections = options.maxConnections
  let refused = 0
  let madeRoomAt = Number.NEGATIVE_INFINITY
  let loggedAt = Number.NEGATIVE_INFINITY
  server.on('drop', () => {
    options.onRefused()
    refused += 1
    if (performance.now() - madeRoomAt >= ROOM_MS) {
      madeRoomAt = performance.now()
      // A client can easily replace an idle connection.
      server.closeIdleConnections()
    }
    if (performance.now() - loggedAt < LOG_MS) return
    loggedAt = performance.now()
    log.warn(
      { maxConnections: options.maxConnections, refused },
      'connections were refused: MAX_CONNECTIONS is reached',
    )
    refused = 0
  })
  return server
}

/** Resolves with the port when the server listens. Fails with the system's error codes. */
export async function listen(server: Server, port: number, host: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(port, host, resolve)
  await promise
  server.off('error', reject)
  return (server.address() as AddressInfo).port
}
