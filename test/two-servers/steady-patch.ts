import { connect } from 'node:net'
import type { Answer } from '../support/raw-http.ts'
import { OFFSET_STREAM, tusHeaders } from '../support/raw-http.ts'
import type { Target } from '../support/tus.ts'

export type SteadyPatch = {
  /** Resolves when the kernel has taken the bytes, or the server has closed the connection. */
  send(bytes: Uint8Array): Promise<void>
  /** The first answer. Fails when the connection ends without one. */
  answer: Promise<Answer>
  close(): void
}

/**
 * A PATCH whose client goes on sending whatever it is answered, as one behind a proxy does that has not heard yet.
 * Node's own client closes the connection as soon as the answer is there.
 */
export function steadyPatch(
  target: Target,
  sub: string,
  id: string,
  body: { offset: number; length: number },
): SteadyPatch {
  const { hostname, port, host } = new URL(target.url)
  const socket = connect(Number(port), hostname)
  const headers = {
    ...tusHeaders(target, sub),
    Host: host,
    'Upload-Offset': String(body.offset),
    'Content-Type': OFFSET_STREAM,
    'Content-Length': String(body.length),
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`PATCH /files/${id} HTTP/1.1\r\n${lines.join('')}\r\n`)

  const { promise: answer, resolve, reject } = Promise.withResolvers<Answer>()
  // Whether there is one is the test's to look at.
  answer.catch(() => {})
  let text = ''
  socket.setEncoding('latin1').on('data', (data) => {
    text += data
    const complete = parseAnswer(text)
    if (complete) resolve(complete)
  })
  socket.on('error', () => {
    // Closes as well.
  })
  const closed = new Promise<void>((done) => socket.once('close', () => done()))
  closed.then(() => reject(new Error('the connection ended without an answer')))
  return {
    async send(bytes) {
      if (socket.destroyed) return
      const taken = new Promise<void>((done) => socket.write(bytes, () => done()))
      await Promise.race([taken, closed])
    },
    answer,
    close: () => void socket.destroy(),
  }
}

/** Undefined until all of it is there. */
function parseAnswer(text: string): Answer | undefined {
  const [head = '', body] = text.split('\r\n\r\n', 2)
  if (body === undefined) return undefined
  const [statusLine = '', ...lines] = head.split('\r\n')
  const headers = Object.fromEntries(
    lines.map((line) => [
      line.slice(0, line.indexOf(':')).toLowerCase(),
      line.slice(line.indexOf(':') + 1).trim(),
    ]),
  )
  if (body.length < Number(headers['content-length'] ?? 0)) return undefined
  return { status: Number(statusLine.split(' ')[1]), headers, body }
}
