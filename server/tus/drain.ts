import type { IncomingMessage, ServerResponse } from 'node:http'

/** How long a client that was refused may go on sending before its connection is cut. */
const LINGER_MS = 5_000

/**
 * A client must be able to read the answer to a request it is still sending: cutting the connection at
 * once would make the kernel discard it. So the rest of the body is read and dropped, but not for ever.
 */
export function drainAfterwards(request: IncomingMessage, response: ServerResponse): void {
  response.once('finish', () => {
    if (request.complete || request.destroyed) return
    request.unpipe()
    request.resume()
    const timer = setTimeout(() => request.socket.destroy(), LINGER_MS)
    request.once('close', () => clearTimeout(timer))
    request.once('end', () => clearTimeout(timer))
  })
}
