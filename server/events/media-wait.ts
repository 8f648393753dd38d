import type { UploadRow } from '../../ledger/uploads.ts'
import { Problem } from '../http/errors.ts'
import type { EventStreams } from './event-streams.ts'
import type { StreamMessage, Transport } from './transport.ts'

const ENDS: ReadonlySet<unknown> = new Set(['media.ready', 'media.rejected', 'media.failed', 'media.deleted'])

/**
 * Resolves when the media item of an upload is ready, rejected or failed, when `signal` is aborted, or when this server
 * stops. It counts as a stream of the owner; where there are too many, it does not wait.
 */
export async function untilMediaEnds(
  streams: EventStreams,
  upload: UploadRow,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return
  const waiting = new Waiting()
  signal.addEventListener('abort', waiting.end, { once: true })
  try {
    await streams.streamOfUpload(upload, 0, (isOver) => {
      if (!isOver) return waiting
      waiting.end()
      return undefined
    })
    await waiting.isOver
  } catch (error) {
    if (!(error instanceof Problem)) throw error
  } finally {
    signal.removeEventListener('abort', waiting.end)
    waiting.end()
  }
}

/** A reader that only looks for the end. */
class Waiting implements Transport {
  readonly bufferedBytes = 0
  readonly #over = Promise.withResolvers<void>()
  #listeners: (() => void)[] = []

  get isOver(): Promise<void> {
    return this.#over.promise
  }

  send(messages: readonly StreamMessage[]): void {
    const isEnd = ({ event, data }: StreamMessage) =>
      event === 'state' && ENDS.has((data as { type?: unknown }).type)
    if (messages.some(isEnd)) this.end()
  }

  beat(): void {}

  readonly end = (): void => {
    this.#over.resolve()
    for (const listener of this.#listeners.splice(0)) listener()
  }

  onRoom(): void {}

  onClosed(listener: () => void): void {
    this.#listeners.push(listener)
  }
}
