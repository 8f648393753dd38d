import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Request, Response } from 'express'
import { Problem } from './errors.ts'
import type { Prepare } from './layer.ts'
import { methodOf } from './method-override.ts'

export type Deadlines = {
  /** For the headers of a request, from its first byte or the opening of its connection. */
  headersMs: number
  /** For a body that is not an upload, from the end of the headers. */
  bodyMs: number
  /** For a response to a client without a token, from the end of the headers to its last byte. */
  answerMs: number
  /** For the first byte of the next request on a connection. */
  idleMs: number
}

export const DEADLINES: Deadlines = { headersMs: 15_000, bodyMs: 10_000, answerMs: 60_000, idleMs: 65_000 }

type Exchange = { body: NodeJS.Timeout | undefined; answer: NodeJS.Timeout; isUpload: boolean }
type Connection = { underWay: number; idle: NodeJS.Timeout | undefined }

/** The deadlines of a request are stored on it, as a map of all requests would cost more garbage collection. */
const EXCHANGE = Symbol('exchange')
type Limited = IncomingMessage & { [EXCHANGE]?: Exchange }

export type AnswerError = (error: unknown, request: Request, response: Response) => void

/**
 * Ends connections that are kept open by a byte now and then: limits a whole body, a whole response and the time
 * between two requests, for every route. It comes before all other middleware; only `expectUpload` and `authenticated`
 * lift a deadline. `answerError` answers a body that is too slow.
 */
export function limitTime(deadlines: Deadlines, answerError: AnswerError): Prepare {
  const connections = new WeakMap<Socket, Connection>()

  /** The server's own timeouts restart with every byte, even with line breaks that begin no request. */
  function becomesIdle(socket: Socket, connection: Connection): void {
    connection.underWay -= 1
    if (connection.underWay > 0 || socket.destroyed) return
    const forNextMs = deadlines.idleMs + deadlines.headersMs
    connection.idle = setTimeout(() => socket.destroy(), forNextMs).unref()
  }

  return function limitTimeOfRequest(request, response) {
    const { socket } = request
    const connection = connections.get(socket) ?? { underWay: 0, idle: undefined }
    connections.set(socket, connection)
    connection.underWay += 1
    clearTimeout(connection.idle)

    const exchange: Exchange = {
      body: hasBody(request)
        ? setTimeout(() => endSlowBody(request, response, answerError), deadlines.bodyMs).unref()
        : undefined,
      answer: setTimeout(() => socket.destroy(), deadlines.answerMs).unref(),
      isUpload: false,
    }
    ;(request as Limited)[EXCHANGE] = exchange
    let isOver = false
    const end = () => {
      if (isOver) return
      isOver = true
      clearTimeout(exchange.answer)
      // Node reads and discards the rest of a body, for as long as it is told to wait for it.
      // The rest of an upload has limits of its own: see `drain.ts`.
      if (request.complete || socket.destroyed || exchange.isUpload) clearTimeout(exchange.body)
      becomesIdle(socket, connection)
    }
    response.once('finish', end).once('close', end)
  }
}

/** From here on the body of a POST or PATCH is an upload without a time limit, once its sender is authenticated. */
export const expectUpload: Prepare = (request) => {
  const method = methodOf(request)
  const exchange = (request as Limited)[EXCHANGE]
  if (exchange) exchange.isUpload = method === 'POST' || method === 'PATCH'
}

/** An authenticated client may read a response for hours, and send an upload. */
export function authenticated(request: IncomingMessage): void {
  const exchange = (request as Limited)[EXCHANGE]
  if (!exchange) return
  clearTimeout(exchange.answer)
  if (exchange.isUpload) clearTimeout(exchange.body)
}

function endSlowBody(request: Request, response: Response, answerError: AnswerError): void {
  if (request.complete || request.destroyed) return
  if (hasBegun(response)) return void request.socket.destroy()
  response.set('Connection', 'close')
  answerError(new Problem('request-timeout', 'The body did not arrive in time.'), request, response)
}

const hasBegun = ({ headersSent, writableEnded }: ServerResponse): boolean => headersSent || writableEnded

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
