import { connect, createServer, type Socket } from 'node:net'

/** A network between client and server that a test has in its hands. */
export type TcpProxy = {
  url: string
  /** From now on each connection brings this many bytes to the server and then waits. */
  holdAfter(bytes: number): void
  /** What waits goes on, and nothing waits any more. */
  release(): void
  /** Breaks every connection and refuses new ones. */
  cut(): void
  restore(): void
  close(): Promise<void>
}

/** Listens on a loopback port and passes bytes between whoever connects and the server at `target` (an http URL). */
export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(target)
  const pairs = new Set<Pair>()
  let limit = Number.POSITIVE_INFINITY
  let isCut = false

  const server = createServer((client) => {
    if (isCut) {
      client.resetAndDestroy()
      return
    }
    const pair = new Pair(client, connect(Number(port), hostname), () => limit)
    pairs.add(pair)
    client.once('close', () => pairs.delete(pair))
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')

  const breakAll = () => {
    for (const pair of pairs) pair.break()
  }
  return {
    url: `http://127.0.0.1:${address.port}`,
    holdAfter(bytes) {
      limit = bytes
      for (const pair of pairs) pair.countAnew()
    },
    release() {
      limit = Number.POSITIVE_INFINITY
      for (const pair of pairs) pair.goOn()
    },
    cut() {
      isCut = true
      breakAll()
    },
    restore() {
      isCut = false
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      breakAll()
      await closed
    },
  }
}

/** One connection: of the client to the proxy, and of the proxy to the server. */
class Pair {
  readonly #client: Socket
  readonly #server: Socket
  readonly #limit: () => number
  #passed = 0
  #waiting: Buffer[] = []

  constructor(client: Socket, server: Socket, limit: () => number) {
    this.#client = client
    this.#server = server
    this.#limit = limit
    client.on('data', (bytes: Buffer) => this.#bring(bytes))
    client.on('end', () => server.end())
    server.on('drain', () => client.resume())
    server.pipe(client)
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      // A broken connection is what the test is about; the other side learns of it below.
      one.on('error', () => {})
      one.once('close', () => other.destroy())
    }
  }

  #bring(bytes: Buffer): void {
    const allowed = Math.max(0, this.#limit() - this.#passed)
    const now = bytes.subarray(0, allowed)
    const later = bytes.subarray(now.length)
    this.#passed += now.length
    const isFull = now.length > 0 && !this.#server.write(now)
    if (later.length > 0) this.#waiting.push(later)
    if (isFull || later.length > 0) this.#client.pause()
  }

  countAnew(): void {
    this.#passed = 0
  }

  goOn(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const bytes of waiting) this.#server.write(bytes)
    this.#client.resume()
  }

  break(): void {
    this.#client.resetAndDestroy()
    this.#server.destroy()
  }
}
