import type { IncomingMessage } from 'node:http'
import type { RequestHandler } from 'express'

/** How long a client that was refused may go on sending before its connection is cut. */
const LINGER_MS = 5_000
/** How much of a file on which a verdict was given is still read: gigabytes may be left of it. */
const MAX_DROPPED_BYTES = 512 * 1024
/** Until the answer is there for sure. Browsers look for it only when they cannot send any more. */
const ARRIVAL_MS = 1_000

/**
 * A client must be able to read the answer to a request it is still sending: cutting the connection at
 * once would make the kernel discard it. So the rest of the body is read and dropped, but not for ever.
 */
export const drainAfterwards: RequestHandler = (request, response, next) => {
  response.once('finish', () => {
    if (request.complete || request.destroyed) return
    drop(request)
    // Not cleared by the request's own 'close', which comes with the answer and not with the last byte.
    const timer = setTimeout(() => {
      // Once it is complete, the connection may serve another request.
      if (!request.complete) request.socket.destroy()
    }, LINGER_MS).unref()
    request.once('end', () => clearTimeout(timer))
  })
  next()
}

/**
 * The same for an answer that is written but not ended, because with its end its connection is closed: reads a
 * little of what is still sent. Resolves when the client has had time to see the answer. Never fails.
 */
export async function discardBody(request: IncomingMessage): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  if (request.complete || request.destroyed) return
  drop(request)
  let timer = setTimeout(resolve, LINGER_MS).unref()
  let dropped = 0
  request.on('data', (chunk: Buffer) => {
    dropped += chunk.byteLength
    if (dropped < MAX_DROPPED_BYTES || request.isPaused()) return
    request.pause()
    clearTimeout(timer)
    timer = setTimeout(resolve, ARRIVAL_MS).unref()
  })
  request.once('end', resolve).once('close', resolve)
  await promise
  clearTimeout(timer)
}

function drop(request: IncomingMessage): void {
  // The former reader of the body would pause it again once its own buffer is full.
  request.removeAllListeners('data').removeAllListeners('readable')
  request.unpipe()
  // Not resume(): taking the listeners away stops a stream that flows already, and it would stay so.
  request.on('data', () => {})
}
