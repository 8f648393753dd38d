import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

export type FakeClamd = AsyncDisposable & {
  port: number
  /** For `CLAMD_URL`. */
  url: string
}

/** Answers every command with its version, as clamd does the one that asks for it; undefined: it says nothing at all. */
export async function fakeClamd(version: string | undefined): Promise<FakeClamd> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => {
      // The client has left.
    })
    socket.once('data', () => {
      if (version !== undefined) socket.end(`${version}\0`)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `tcp://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

/** As asctime writes it, which is how clamd tells the time. */
export function asctime(date: Date): string {
  const [weekday, day, month, year, time] = date.toUTCString().replace(',', '').split(' ')
  return `${weekday} ${month} ${day?.replace(/^0/, ' ')} ${time} ${year}`
}
