import type { Response } from 'express'
import type { StreamMessage, Transport } from './transport.ts'

/** With more unsent bytes a heartbeat is not needed; a reader that never takes them is disconnected. */
const ENOUGH_BYTES = 16 * 1024

/** Server-sent events (HTML Standard § 9.2) as the body of a response. */
export class SseTransport implements Transport {
  readonly #response: Response

  /** Answers 200; the response is a stream from then on. */
  constructor(response: Response) {
    this.#response = response
    response.status(200).set({
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-store',
      // Keeps nginx from buffering the stream.
      'X-Accel-Buffering': 'no',
    })
    response.flushHeaders()
  }

  get bufferedBytes(): number {
    return this.#response.writableLength
  }

  send(messages: readonly StreamMessage[]): void {
    if (messages.length > 0) this.#response.write(messages.map(textOf).join(''))
  }

  beat(): void {
    if (this.bufferedBytes < ENOUGH_BYTES) this.#response.write(': still here\n\n')
  }

  end(): void {
    this.#response.end()
  }

  onRoom(listener: () => void): void {
    this.#response.on('drain', listener)
  }

  onClosed(listener: () => void): void {
    this.#response.once('close', listener)
  }
}

function textOf({ event, id, data }: StreamMessage): string {
  const idLine = id === undefined ? '' : `id: ${id}\n`
  return `event: ${event}\n${idLine}data: ${JSON.stringify(data)}\n\n`
}
