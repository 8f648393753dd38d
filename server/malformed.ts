import type { Socket } from 'node:net'
import { type ErrorCode, Problem } from './errors.ts'

/**
 * Answers what is no request of HTTP, or one that is too large to be read, and closes its connection. There is no
 * request to log and no id of one.
 */
export function answerMalformed(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
  const { status, body } = describe(error.code)
  socket.end(
    `HTTP/1.1 ${status} ${status === 431 ? 'Request Header Fields Too Large' : 'Bad Request'}\r\n` +
      `Content-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Cache-Control: no-store\r\nConnection: close\r\n\r\n${body}`,
  )
}

function describe(code: string | undefined): { status: number; body: string } {
  const isTooLarge = code === 'HPE_HEADER_OVERFLOW' || code === 'ERR_HTTP_HEADERS_TOO_LARGE'
  const name: ErrorCode = isTooLarge ? 'headers-too-large' : 'invalid-request'
  const problem = new Problem(name, isTooLarge ? 'The headers are too large.' : 'This is no HTTP request.')
  const { requestId: _, ...document } = problem.toDocument('')
  return { status: problem.status, body: JSON.stringify(document) }
}
