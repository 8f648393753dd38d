import type { WebSocket } from 'ws'
import type { StreamEnd, StreamMessage, Transport } from './transport.ts'

/** RFC 6455 § 7.4.1 */
const CLOSE_CODES: Record<StreamEnd, number> = { over: 1000, draining: 1001 }

/** The same messages as JSON, one a frame: `{ event, id?, data }`. */
export class WebSocketTransport implements Transport {
  readonly #socket: WebSocket
  #room: () => void = () => {}
  /** The last ping was answered. */
  #isAlive = true

  constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('pong', () => {
      this.#isAlive = true
    })
    socket.on('error', () => {
      // Followed by `close`, which is what matters; a reader that breaks the protocol is told so by the package.
    })
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount
  }

  send(messages: readonly StreamMessage[]): void {
    for (const message of messages) this.#socket.send(JSON.stringify(message), () => this.#room())
  }

  beat(): void {
    if (this.#isAlive) this.#socket.ping()
    else this.#socket.terminate()
    this.#isAlive = false
  }

  end(why: StreamEnd): void {
    this.#socket.close(CLOSE_CODES[why])
  }

  onRoom(listener: () => void): void {
    this.#room = listener
  }

  onClosed(listener: () => void): void {
    this.#socket.once('close', listener)
  }
}
