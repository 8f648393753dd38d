import type { IncomingMessage } from 'node:http'
import type { Prepare } from './layer.ts'

/** How long a refused client may go on sending before its connection is closed. */
const LINGER_MS = 5_000
/** How much of a rejected file is still read: gigabytes may be left of it. */
const MAX_DROPPED_BYTES = 512 * 1024
/** Time for the response to arrive. Browsers read it only when they cannot send any more. */
const ARRIVAL_MS = 1_000

/**
 * A client must be able to read the response to a request that it is still sending: if the connection were closed at
 * once, the kernel would discard it. So the rest of the body is read and discarded, for a limited time.
 */
export const drainAfterwards: Prepare = (request, response) => {
  response.once('finish', () => {
    if (request.complete || request.destroyed) return
    drop(request)
    // Not cleared by the request's 'close', which comes with the response and not with the last byte.
    const timer = setTimeout(() => {
      // Once it is complete, the connection may serve another request.
      if (!request.complete) request.socket.destroy()
    }, LINGER_MS).unref()
    request.once('end', () => clearTimeout(timer))
  })
}

/**
 * The same for a response whose end closes its connection, and that is written but not ended: reads a little of the
 * rest. Resolves when the client has had time to see the response. Never fails.
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
  // The former reader would pause it again once its own buffer is full.
  request.removeAllListeners('data').removeAllListeners('readable')
  request.unpipe()
  // Not resume(): removing the listeners stops a flowing stream for good.
  request.on('data', () => {})
}
