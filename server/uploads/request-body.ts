import type { IncomingMessage } from 'node:http'
import type { Request, Response } from 'express'
import { BodyTooLong } from '../../storage/store/outcomes.ts'
import { endTurn } from '../admission/owner-turns.ts'
import { continueNow } from '../http/expect-continue.ts'
import type { Body, BodyLimits } from './body.ts'
import { Interrupted } from './outcomes.ts'

/** Bytes that are buffered while the reader is busy; beyond that the client has to wait. */
const MAX_WAITING_BYTES = 128 * 1024

/**
 * The body of a request. Reading it sends 100 Continue where the client waits for that, and ends its owner's turn, as
 * it may take long. `countBytes` is called for every chunk.
 */
export const bodyOf = (request: Request, response: Response, countBytes: (bytes: number) => void): Body => ({
  length: declaredLength(request),
  read(limits) {
    endTurn(response)
    continueNow(response)
    return requestBody(request, limits, countBytes)
  },
  isWhole: () => request.complete,
})

/**
 * The declared length of a body; undefined when it is chunked. Node has checked the header; a request with neither
 * header has no body.
 */
export function declaredLength(request: Request): number | undefined {
  if (request.headers['transfer-encoding'] !== undefined) return undefined
  return Number(request.headers['content-length'] ?? 0)
}

export const hasBody = (request: Request): boolean => declaredLength(request) !== 0

/**
 * The body of a request as Node receives it. The client or `signal` ends it; it fails with `BodyTooLong` at the chunk
 * that exceeds `maxBytes`, and with `Interrupted` when the client leaves, each after the bytes before. The request
 * itself is left intact, so that others can read the rest. `countBytes` is called for every chunk.
 */
export async function* requestBody(
  request: IncomingMessage,
  limits: BodyLimits,
  countBytes: (bytes: number) => void = () => {},
): AsyncGenerator<Buffer> {
  const { maxBytes, signal } = limits
  let waiting: Buffer[] = []
  let waitingBytes = 0
  let received = 0
  let end: { failure?: unknown } | undefined
  let wake = () => {}

  const finish = (how: { failure?: unknown }) => {
    end ??= how
    stopListening()
    wake()
  }
  const onData = (chunk: Buffer) => {
    countBytes(chunk.byteLength)
    received += chunk.byteLength
    if (received > maxBytes) return finish({ failure: new BodyTooLong() })
    waiting.push(chunk)
    waitingBytes += chunk.byteLength
    if (waitingBytes >= MAX_WAITING_BYTES) request.pause()
    wake()
  }
  const onEnd = () => finish({})
  const onCut = () => finish({ failure: new Interrupted() })
  // An error of the request may arrive by the signal, too.
  const onSignal = () => finish(request.errored ? { failure: new Interrupted() } : {})
  const stopListening = () => {
    request.off('data', onData).off('end', onEnd).off('error', onCut).off('close', onCut)
    signal.removeEventListener('abort', onSignal)
    request.pause()
  }

  if (signal.aborted) onSignal()
  else if (request.destroyed) onCut()
  else {
    signal.addEventListener('abort', onSignal, { once: true })
    request.on('end', onEnd).on('error', onCut).on('close', onCut).on('data', onData)
    request.resume()
  }
  try {
    for (;;) {
      const chunks = waiting
      waiting = []
      waitingBytes = 0
      if (chunks.length > 0) {
        if (!end) request.resume()
        yield* chunks
      } else if (!end) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      } else if ('failure' in end) throw end.failure
      else return
    }
  } finally {
    stopListening()
  }
}
