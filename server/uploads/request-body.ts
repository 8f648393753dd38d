import type { IncomingMessage } from 'node:http'
import type { Request, Response } from 'express'
import { BodyTooLong } from '../../storage/store/outcomes.ts'
import { endTurn } from '../admission/owner-turns.ts'
import { continueNow } from '../http/expect-continue.ts'
import type { Body, BodyLimits } from './body.ts'
import { Interrupted } from './outcomes.ts'

/** Bytes that are gathered while the reader is busy with others; then the client is made to wait. */
const MAX_WAITING_BYTES = 128 * 1024

/**
 * The body of a request to this server. Its client is asked for the bytes when they are read, if it waits for that, and
 * its owner's turn is over then: it may take its time. `countBytes` is told of every chunk that arrives.
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
 * Bytes a request says its body has; undefined when it comes in chunks. Node has checked the header, and
 * a request with neither header has no body.
 */
export function declaredLength(request: Request): number | undefined {
  if (request.headers['transfer-encoding'] !== undefined) return undefined
  return Number(request.headers['content-length'] ?? 0)
}

export const hasBody = (request: Request): boolean => declaredLength(request) !== 0

/**
 * The body of a request as Node receives it. The end is the client's or that of `signal`; it fails with
 * `BodyTooLong` at the chunk that exceeds `maxBytes`, and with `Interrupted` when the client goes away, each
 * after what came before. The request itself is left as it is, so that the rest can be read by others.
 * `countBytes` is told of every chunk that arrives.
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
  // What ends the request for an error of it may end this by the signal, too.
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
