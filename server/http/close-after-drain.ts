import type { Response } from 'express'

/** What `drain.ts` and the turns of owners leave at a response. */
type Locals = { discardRest?: () => Promise<void>; endTurn?: () => void }

/**
 * Ends a response. Where that closes the connection while the client still sends, the client is first given time to read
 * the response: the kernel would discard it. Meanwhile the owner's next request may begin.
 */
export function endReadably(response: Response, body?: string): void {
  const { discardRest, endTurn }: Locals = response.locals
  if (!discardRest || response.req.complete || !closes(response)) return void response.end(body)
  endTurn?.()
  if (body === undefined) response.flushHeaders()
  else response.write(body)
  void discardRest().then(() => response.end())
}

const closes = (response: Response): boolean =>
  !response.shouldKeepAlive || response.getHeader('Connection') === 'close'
