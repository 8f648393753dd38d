import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { type ErrorCode, Problem } from './errors.ts'

/** Running responses, by connection. */
const underWay = new WeakMap<Socket, number>()

/** Counts the running responses of each connection. */
export function watchResponses(server: Server): void {
  server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    underWay.set(socket, (underWay.get(socket) ?? 0) + 1)
    response.once('close', () => {
      const left = (underWay.get(socket) ?? 1) - 1
      if (left > 0) underWay.set(socket, left)
      else underWay.delete(socket)
    })
  })
}

/** Whether a request on this connection is not answered yet. */
export const isUnderWay = (socket: Socket): boolean => underWay.has(socket)

/** Answers invalid HTTP, or a request that is too large, and closes its connection. There is no request to log. */
export function answerMalformed(error: Error & { code?: string }, socket: Socket): void {
  // It would be written into the middle of a running response.
  if (!socket.writable || error.code === 'ECONNRESET' || isUnderWay(socket)) return void socket.destroy()
  const { status, title, body } = describe(error.code)
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\n` +
      `Content-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Cache-Control: no-store\r\nConnection: close\r\n\r\n${body}`,
  )
}

const PROBLEMS: Readonly<Record<string, [ErrorCode, string]>> = {
  HPE_HEADER_OVERFLOW: ['headers-too-large', 'The headers are too large.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['request-timeout', 'The request did not arrive in time.'],
}

function describe(code = ''): { status: number; title: string; body: string } {
  const [name, detail] = PROBLEMS[code] ?? (['invalid-request', 'The request is not valid HTTP.'] as const)
  const problem = new Problem(name, detail)
  const { requestId: _, ...document } = problem.toDocument('')
  return { status: problem.status, title: STATUS_CODES[problem.status] ?? '', body: JSON.stringify(document) }
}
