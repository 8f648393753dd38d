import type { Api } from './api.ts'
import { type Step, steps } from './contract.ts'
import { createEventStreamParser, type StreamEvent } from './event-stream.ts'

/** A stream that says nothing for this long is taken for dead and opened again. */
const silenceMs = 60_000
const firstDelayMs = 500
const longestDelayMs = 15_000

export type OwnerEvent =
  /** The stream is open: what happened before may have been missed. */
  | { readonly kind: 'connected' }
  | { readonly kind: 'step'; readonly uploadId: string; readonly step: Step }
  | {
      readonly kind: 'state'
      readonly type: string
      readonly uploadId: string
      readonly mediaId: string | null
    }

export interface OwnerEvents {
  /** Tells the listener what happens to one's uploads, until the returned function is called. */
  listen(listener: (event: OwnerEvent) => void): () => void
}

/**
 * `GET /api/v1/events`, for as long as anybody listens, reconnecting with `Last-Event-ID` and growing pauses.
 * EventSource cannot do this: it sends no Authorization header. There is one stream for the whole page: a browser
 * opens six connections to a host over HTTP/1.1, and three uploads want theirs.
 */
export function createOwnerEvents(api: Pick<Api, 'events'>): OwnerEvents {
  const listeners = new Set<(event: OwnerEvent) => void>()
  let isConnected = false
  let stopping: AbortController | null = null

  function tell(event: OwnerEvent): void {
    for (const listener of listeners) listener(event)
  }

  async function follow(signal: AbortSignal): Promise<void> {
    let lastEventId: string | null = null
    for (let failures = 0; ; ) {
      const connection = await readOnce(lastEventId, signal)
      lastEventId = connection.lastEventId
      failures = connection.heardSomething ? 0 : failures + 1
      const backoff = Math.min(longestDelayMs, firstDelayMs * 2 ** failures)
      await pause(connection.retryMs ?? backoff * (0.75 + Math.random() / 2), signal)
    }
  }

  async function readOnce(lastEventId: string | null, signal: AbortSignal): Promise<Connection> {
    const parser = createEventStreamParser()
    const silence = new AbortController()
    let timer = setTimeout(() => silence.abort(), silenceMs)
    let heardSomething = false
    try {
      const response = await api.events(lastEventId, AbortSignal.any([signal, silence.signal]))
      if (response.ok && response.body !== null) {
        isConnected = true
        tell({ kind: 'connected' })
        for await (const text of textOf(response.body)) {
          clearTimeout(timer)
          timer = setTimeout(() => silence.abort(), silenceMs)
          heardSomething = true
          for (const event of parser.push(text)) {
            const known = ownerEventOf(event)
            if (known !== null) tell(known)
          }
        }
      }
    } catch (error) {
      if (signal.aborted) throw error
      // The network, or our own silence timer: connect again.
    } finally {
      isConnected = false
      clearTimeout(timer)
      silence.abort()
    }
    return {
      heardSomething,
      lastEventId: parser.lastEventId() ?? lastEventId,
      retryMs: heardSomething ? parser.retryMs() : null,
    }
  }

  return {
    listen(listener) {
      listeners.add(listener)
      if (isConnected) listener({ kind: 'connected' })
      if (stopping === null) {
        stopping = new AbortController()
        const { signal } = stopping
        follow(signal).catch((error: unknown) => {
          if (!signal.aborted) throw error
        })
      }
      return () => {
        listeners.delete(listener)
        if (listeners.size > 0) return
        stopping?.abort()
        stopping = null
      }
    },
  }
}

interface Connection {
  readonly heardSomething: boolean
  readonly lastEventId: string | null
  readonly retryMs: number | null
}

/** Null for progress, which this page knows itself, and for steps that it has no word for. */
function ownerEventOf({ type, data }: StreamEvent): OwnerEvent | null {
  if (type === 'step') {
    const { uploadId, step } = JSON.parse(data) as { uploadId: string; step: string }
    const known = steps.find((name) => name === step)
    return known === undefined ? null : { kind: 'step', uploadId, step: known }
  }
  if (type !== 'state') return null
  const state = JSON.parse(data) as { type: string; uploadId: string; mediaId: string | null }
  return { kind: 'state', type: state.type, uploadId: state.uploadId, mediaId: state.mediaId }
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
