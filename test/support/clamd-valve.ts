import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export type ClamdValve = AsyncDisposable & {
  /** For `CLAMD_URL`. */
  url: string
  /** Resolves when the first scan stands still. */
  inTheMiddle: Promise<void>
  /** Lets that scan go on, and all later ones pass. */
  letThrough(): void
}

/** Stands between Landfall and a real clamd and holds scans after so many bytes, until it lets them through. */
export async function openClamdValve(clamdUrl: string, afterBytes: number): Promise<ClamdValve> {
  const { hostname, port } = new URL(clamdUrl)
  const { promise: inTheMiddle, resolve: reached } = Promise.withResolvers<void>()
  const { promise: opened, resolve: letThrough } = Promise.withResolvers<void>()
  const sockets = new Set<Socket>()
  const server = createServer((downstream) => {
    const upstream = connect(Number(port), hostname)
    for (const socket of [downstream, upstream]) {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
      socket.on('error', () => {
        // The end of one side is passed on to the other below.
      })
    }
    downstream.once('close', () => upstream.destroy())
    upstream.once('close', () => downstream.destroy())
    upstream.pipe(downstream)
    let passed = 0
    downstream.on('data', async (chunk: Buffer) => {
      upstream.write(chunk)
      passed += chunk.byteLength
      if (passed < afterBytes) return
      downstream.pause()
      reached()
      await opened
      downstream.resume()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`,
    inTheMiddle,
    letThrough,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
