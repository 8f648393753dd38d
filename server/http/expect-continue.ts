import type { IncomingMessage, Server, ServerResponse } from 'node:http'

/** Responses whose clients wait for leave to send the body (RFC 9110 § 10.1.1). */
const waiting = new WeakMap<ServerResponse, { shouldKeepAlive: boolean }>()

/**
 * Lets the listeners of `server` decide about requests with `Expect: 100-continue` before their bodies are sent: for paths that begin
 * with `prefix` somebody has to call `continueNow`, for all others it is done here.
 */
export function answerExpectations(server: Server, prefix: string): void {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    waiting.set(response, { shouldKeepAlive: response.shouldKeepAlive })
    // Refused, a client may send its body all the same, or not: nobody knows where the next request begins.
    response.shouldKeepAlive = false
    if (!request.url?.startsWith(prefix)) continueNow(response)
    server.emit('request', request, response)
  })
}

/** The request is welcome: asks its client for the body, if that waits to be asked. */
export function continueNow(response: ServerResponse): void {
  const before = waiting.get(response)
  if (!before) return
  waiting.delete(response)
  response.shouldKeepAlive = before.shouldKeepAlive
  response.writeContinue()
}
