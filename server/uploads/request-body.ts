import type { IncomingMessage } from 'node:http'
import { ERRORS } from '@tus/utils'

/** Bytes that are gathered while the reader is busy with others; then the client is made to wait. */
const MAX_WAITING_BYTES = 128 * 1024

export type BodyLimits = {
  /** Bytes the body may have. */
  maxBytes: number
  /** Ends the body where it is, as if the client had sent no more. */
  signal: AbortSignal
}

/**
 * The body of a request as Node receives it. The end is the client's or that of `signal`; it fails with
 * a 413 at the chunk that exceeds `maxBytes`, and with `ERRORS.ABORTED` when the client goes away, each
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
  const onCut = () => finish({ failure: ERRORS.ABORTED })
  // The package aborts the signal from an error of the request, too.
  const onSignal = () => finish(request.errored ? { failure: ERRORS.ABORTED } : {})
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

/** As the package's own limiter puts it. */
class BodyTooLong extends Error {
  readonly status_code = ERRORS.ERR_MAX_SIZE_EXCEEDED.status_code
  readonly body = ERRORS.ERR_MAX_SIZE_EXCEEDED.body

  constructor() {
    super(ERRORS.ERR_MAX_SIZE_EXCEEDED.body)
  }
}

/** The client's body was ended before it was all there, because somebody else wants the upload. */
export class Interrupted extends Error {
  constructor() {
    super('the body was interrupted')
    this.name = 'Interrupted'
  }
}
