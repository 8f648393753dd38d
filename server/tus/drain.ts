import type { RequestHandler } from 'express'

/** How long a client that was refused may go on sending before its connection is cut. */
const LINGER_MS = 5_000

/**
 * A client must be able to read the answer to a request it is still sending: cutting the connection at
 * once would make the kernel discard it. So the rest of the body is read and dropped, but not for ever.
 */
export const drainAfterwards: RequestHandler = (request, response, next) => {
  response.once('finish', () => {
    if (request.complete || request.destroyed) return
    // Whoever was reading the body would stop it again once its own buffer is full.
    request.removeAllListeners('data').removeAllListeners('readable')
    request.unpipe()
    // Not resume(): taking the listeners away stops a stream that flows already, and it would stay so.
    request.on('data', () => {})
    // Not cleared by the request's own 'close', which comes with the answer and not with the last byte.
    const timer = setTimeout(() => {
      // Complete, the connection is another request's by now.
      if (!request.complete) request.socket.destroy()
    }, LINGER_MS).unref()
    request.once('end', () => clearTimeout(timer))
  })
  next()
}
