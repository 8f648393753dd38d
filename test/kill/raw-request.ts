import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'

export type Answer = { status: number; headers: IncomingHttpHeaders; text: string }

export type RawRequest = {
  url: string
  method: string
  headers: Record<string, string>
  body?: Uint8Array
  /** Bytes handed to the socket at a time. */
  pieceBytes?: number
  /** Told after each piece that the socket took. Throwing closes the connection. */
  onSent?: (bytes: number) => void
}

/** A server that says nothing for so long hangs. */
const SILENCE_MS = 20_000

/** The connection broke, or the caller closed it, before there was an answer. */
export class ConnectionLost extends Error {
  constructor(cause: unknown) {
    super('the connection was lost', { cause })
    this.name = 'ConnectionLost'
  }
}

/** One request on a connection of its own. Fails with `ConnectionLost`. */
export async function sendRaw(options: RawRequest): Promise<Answer> {
  const { body = new Uint8Array(), pieceBytes = 64 * 1024, onSent = () => {} } = options
  const outgoing = httpRequest(options.url, {
    method: options.method,
    headers: options.headers,
    agent: false,
  })
  outgoing.setTimeout(SILENCE_MS, () => outgoing.destroy(new Error('the server hangs')))
  const { promise: answer, resolve, reject } = Promise.withResolvers<Answer>()
  let isAnswered = false
  outgoing.once('error', reject)
  outgoing.once('close', () => reject(new Error('closed without an answer')))
  outgoing.once('response', (response) => {
    isAnswered = true
    let text = ''
    response.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
    response.once('error', reject)
    response.once('end', () => {
      if (response.complete) resolve({ status: response.statusCode ?? 0, headers: response.headers, text })
    })
  })
  const answered = answer.then(() => {})
  // Looked at below, after the body; until then it may fail at any time.
  answered.catch(() => {})
  try {
    for (let at = 0; at < body.length && !isAnswered; at += pieceBytes) {
      const piece = body.subarray(at, at + pieceBytes)
      const taken = new Promise<void>((done, failed) =>
        outgoing.write(piece, (error) => (error ? failed(error) : done())),
      )
      await Promise.race([taken, answered])
      onSent(piece.length)
    }
    outgoing.end()
    return await answer
  } catch (error) {
    outgoing.destroy()
    // The answer is there, even if the server would not take the rest of the body.
    if (isAnswered) return await answer.catch(failLost)
    return failLost(error)
  }
}

function failLost(error: unknown): never {
  throw new ConnectionLost(error)
}
