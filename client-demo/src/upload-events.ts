import type { Api } from './api.ts'
import { type Step, steps } from './contract.ts'
import { createEventStreamParser } from './event-stream.ts'

/** The states after which the server ends the stream. */
const finalStates = new Set([
  'media.ready',
  'media.rejected',
  'media.failed',
  'media.deleted',
  'upload.terminated',
  'upload.expired',
  'upload.rejected',
])
/** A stream that says nothing for this long is taken for dead and opened again. */
const silenceMs = 60_000
const firstDelayMs = 500
const longestDelayMs = 15_000

export interface UploadEventHandlers {
  onStep(step: Step): void
}

/**
 * Follows `GET /api/v1/uploads/:id/events` until a final state (or until the server says there is nothing more),
 * reconnecting with `Last-Event-ID` and growing pauses. EventSource cannot do this: it sends no Authorization header.
 * Resolves when nothing more will come; the caller then reads the truth from the API. Rejects only when aborted.
 */
export async function followUpload(
  api: Pick<Api, 'events'>,
  uploadId: string,
  handlers: UploadEventHandlers,
  signal: AbortSignal,
): Promise<void> {
  let lastEventId: string | null = null
  let failures = 0
  for (;;) {
    const result = await readOnce(api, uploadId, lastEventId, handlers, signal)
    if (result.ended) return
    lastEventId = result.lastEventId
    failures = result.heardSomething ? 0 : failures + 1
    const backoff = Math.min(longestDelayMs, firstDelayMs * 2 ** failures)
    await pause(result.retryMs ?? backoff * (0.75 + Math.random() / 2), signal)
  }
}

interface Connection {
  readonly ended: boolean
  readonly heardSomething: boolean
  readonly lastEventId: string | null
  readonly retryMs: number | null
}

async function readOnce(
  api: Pick<Api, 'events'>,
  uploadId: string,
  lastEventId: string | null,
  handlers: UploadEventHandlers,
  signal: AbortSignal,
): Promise<Connection> {
  const parser = createEventStreamParser()
  const silence = new AbortController()
  let timer = setTimeout(() => silence.abort(), silenceMs)
  let heardSomething = false
  const at = (ended: boolean): Connection => ({
    ended,
    heardSomething,
    lastEventId: parser.lastEventId() ?? lastEventId,
    retryMs: heardSomething ? parser.retryMs() : null,
  })
  try {
    const response = await api.events(uploadId, lastEventId, AbortSignal.any([signal, silence.signal]))
    // 204: nothing more will come. 4xx: there is no such upload (any more). Either way this is the end.
    if (
      response.status === 204 ||
      (response.status >= 400 && response.status < 500 && response.status !== 429)
    ) {
      return at(true)
    }
    if (!response.ok || response.body === null) return at(false)
    for await (const text of textOf(response.body)) {
      clearTimeout(timer)
      timer = setTimeout(() => silence.abort(), silenceMs)
      heardSomething = true
      for (const event of parser.push(text)) {
        if (event.type === 'step') announceStep(event.data, handlers)
        if (event.type === 'state' && isFinal(event.data)) return at(true)
      }
    }
    return at(false)
  } catch (error) {
    if (signal.aborted) throw error
    return at(false) // the network, or our own silence timer: connect again
  } finally {
    clearTimeout(timer)
    silence.abort()
  }
}

/** Safari has no async iteration of a stream yet, so this reads by hand. */
async function* textOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield decoder.decode(value, { stream: true })
    }
  } finally {
    // Already failing or done: there is nobody to tell about a failing cancel.
    reader.cancel().catch(() => {})
  }
}

function announceStep(data: string, handlers: UploadEventHandlers): void {
  const { step } = JSON.parse(data) as { step: string }
  const known = steps.find((name) => name === step)
  if (known !== undefined) handlers.onStep(known)
}

function isFinal(data: string): boolean {
  return finalStates.has((JSON.parse(data) as { type: string }).type)
}

/** Resolves after `ms`; rejects at once when aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const stop = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal.addEventListener('abort', stop, { once: true })
  })
}
