import type { IncomingMessage } from 'node:http'
import type { Request, Response } from 'express'
import { BodyTooLong } from '../../storage/store/outcomes.ts'
import { endTurn } from '../admission/owner-turns.ts'
import { continueNow } from '../http/expect-continue.ts'
import type { Body, BodyLimits } from './body.ts'
import { BodyIdle, Interrupted } from './outcomes.ts'

/** Bytes that are buffered while the reader is busy; beyond that the client has to wait. */
const MAX_WAITING_BYTES = 128 * 1024

export type BodyOptions = {
  /** Called for every chunk. */
  countBytes: (bytes: number) => void
  /** How long the client may send nothing while its bytes are waited for. */
  idleMs: number
}

const UNLIMITED: BodyOptions = { countBytes: () => {}, idleMs: Number.POSITIVE_INFINITY }

/**
 * The body of a request. Reading it sends 100 Continue where the client waits for that, and ends its owner's turn, as
 * it may take long.
 */
export const bodyOf = (request: Request, response: Response, options: BodyOptions): Body => ({
  length: declaredLength(request),
  read(limits) {
    endTurn(response)
    continueNow(response)
    return requestBody(request, limits, options)
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
 * The body of a request as Node receives it. The client or `signal` ends it. It fails with `BodyTooLong` behind
 * `maxBytes`, with `Interrupted` when the client leaves, and with `BodyIdle` when it sends nothing for too long, each
 * after the bytes before. Time in which the reader is busy is not the client's. The request itself is left intact, so
 * that others can read the rest.
 */
export async function* requestBody(
  request: IncomingMessage,
  limits: BodyLimits,
  { countBytes, idleMs }: BodyOptions = UNLIMITED,
): AsyncGenerator<Buffer> {
  const { maxBytes, signal } = limits
  let waiting: Buffer[] = []
  let waitingBytes = 0
  let received = 0
  let end: { failure?: unknown } | undefined
  let wake = () => {}
  let isWaiting = false
  let idle: NodeJS.Timeout | undefined

  const finish = (how: { failure?: unknown }) => {
    end ??= how
    stopListening()
    wake()
  }
  const onData = (chunk: Buffer) => {
    countBytes(chunk.byteLength)
    const room = maxBytes - received
    received += chunk.byteLength
    if (chunk.byteLength > room) {
      if (room > 0) waiting.push(chunk.subarray(0, room))
      return finish({ failure: new BodyTooLong() })
    }
    waiting.push(chunk)
    waitingBytes += chunk.byteLength
    if (waitingBytes >= MAX_WAITING_BYTES) request.pause()
    wake()
  }
  const onIdle = () => {
    if (isWaiting) finish({ failure: new BodyIdle() })
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
        if (Number.isFinite(idleMs)) idle = idle?.refresh() ?? setTimeout(onIdle, idleMs).unref()
        isWaiting = true
        await new Promise<void>((resolve) => {
          wake = resolve
        })
        isWaiting = false
      } else if ('failure' in end) throw end.failure
      else return
    }
  } finally {
    clearTimeout(idle)
    stopListening()
  }
}
