import type { RequestHandler } from 'express'

/** How long a client that was refused may go on sending before its connection is cut. */
const LINGER_MS = 5_000
/** And how much, where the answer says that the connection will be closed: gigabytes may be left. */
const MAX_DROPPED_BYTES = 512 * 1024
/** Until the answer is there for sure. Browsers look for it only when they cannot send any more. */
const ARRIVAL_MS = 1_000

/**
 * A client must be able to read the answer to a request it is still sending: cutting the connection at
 * once would make the kernel discard it. So some more of the body is read and dropped, but not for ever.
 */
export const drainAfterwards: RequestHandler = (request, response, next) => {
  response.once('finish', () => {
    if (request.complete || request.destroyed) return
    // Whoever was reading the body would stop it again once its own buffer is full.
    request.removeAllListeners('data').removeAllListeners('readable')
    request.unpipe()
    const cut = () => {
      // Complete, the connection is another request's by now.
      if (!request.complete) request.socket.destroy()
    }
    let timer = setTimeout(cut, LINGER_MS).unref()
    const isClosing = response.getHeader('Connection') === 'close'
    let dropped = 0
    // Not resume(): taking the listeners away stops a stream that flows already, and it would stay so.
    request.on('data', (chunk: Buffer) => {
      dropped += chunk.byteLength
      if (!isClosing || dropped < MAX_DROPPED_BYTES || request.isPaused()) return
      request.pause()
      clearTimeout(timer)
      timer = setTimeout(cut, ARRIVAL_MS).unref()
    })
    // Not cleared by the request's own 'close', which comes with the answer and not with the last byte.
    request.once('end', () => clearTimeout(timer))
  })
  next()
}
