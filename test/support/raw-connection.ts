import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** A connection on which a test writes bytes as it likes, and what has come back on it. */
export type RawConnection = {
  socket: Socket
  received(): string
  /** Resolves with the milliseconds since it was opened when the other end has closed it. */
  closed: Promise<number>
}

export async function openConnection(target: { url: string }): Promise<RawConnection> {
  const { hostname, port } = new URL(target.url)
  const socket = connect(Number(port), hostname).setEncoding('latin1')
  let text = ''
  socket.on('data', (part: string) => {
    text += part
  })
  // A connection that is reset is closed as well, and a write into it no failure of the test.
  socket.on('error', () => {})
  const openedAt = performance.now()
  // Not `once` of Node, for which an error is the end.
  const { promise: closed, resolve } = Promise.withResolvers<number>()
  socket.on('close', () => resolve(performance.now() - openedAt))
  await once(socket, 'connect')
  return { socket, received: () => text, closed }
}

/** All that comes back on a connection of its own, until it is closed. */
export async function exchange(target: { url: string }, text: string): Promise<string> {
  const connection = await openConnection(target)
  connection.socket.write(text)
  await connection.closed
  return connection.received()
}

/** Writes a byte of `text` each `everyMs`, as those do who want to keep a connection. Stops when it is closed. */
export function dribble({ socket }: RawConnection, text: string, everyMs: number): void {
  let at = 0
  const timer = setInterval(() => {
    socket.write(text[at++ % text.length] ?? '')
  }, everyMs)
  socket.once('close', () => clearInterval(timer))
}
