import type { IncomingMessage, Server, ServerResponse } from 'node:http'

/** Responses whose clients wait for 100 Continue (RFC 9110 § 10.1.1). */
const waiting = new WeakMap<ServerResponse, { shouldKeepAlive: boolean }>()

/**
 * Decides about requests with `Expect: 100-continue` before their bodies are sent: for those of which `isLater`
 * says so a handler calls `continueNow`, for all others it is done here.
 */
export function answerExpectations(server: Server, isLater: (target: string) => boolean): void {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    waiting.set(response, { shouldKeepAlive: response.shouldKeepAlive })
    // After a refusal the client may send its body or not: the start of the next request is unknown.
    response.shouldKeepAlive = false
    if (!isLater(request.url ?? '')) continueNow(response)
    server.emit('request', request, response)
  })
}

/** Sends 100 Continue, if the client waits for it. */
export function continueNow(response: ServerResponse): void {
  const before = waiting.get(response)
  if (!before) return
  waiting.delete(response)
  response.shouldKeepAlive = before.shouldKeepAlive
  response.writeContinue()
}

/** Whether the client expects 100 Continue and was not sent it. */
export const awaitsContinue = (response: ServerResponse): boolean => waiting.has(response)
