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
  /** From now on nothing comes through, in either direction, on old and new connections, and nobody is told. */
  discardOutput(): void
  /** The connections that there are now are silent for good, as after a lost entry of a NAT; new ones work. */
  swallowOld(): void
  /** New connections work again. Those of which something was swallowed never do. */
  restore(): void
  close(): Promise<void>
}

/** Listens on a loopback port and passes bytes between its clients and the server at `target` (an http URL). */
export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(target)
  const pairs = new Set<Pair>()
  let limit = Number.POSITIVE_INFINITY
  let state: 'open' | 'cut' | 'swallowing' = 'open'

  // Or a connection that swallows everything would still answer a goodbye.
  const server = createServer({ allowHalfOpen: true }, (client) => {
    if (state === 'cut') {
      client.resetAndDestroy()
      return
    }
    const pair = new Pair(
      client,
      connect({ port: Number(port), host: hostname, allowHalfOpen: true }),
      () => limit,
    )
    if (state === 'swallowing') pair.discardOutput()
    pairs.add(pair)
    pair.onOver(() => pairs.delete(pair))
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
      state = 'cut'
      breakAll()
    },
    discardOutput() {
      state = 'swallowing'
      for (const pair of pairs) pair.discardOutput()
    },
    swallowOld() {
      for (const pair of pairs) pair.discardOutput()
    },
    restore() {
      state = 'open'
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
  #isSilent = false

  constructor(client: Socket, server: Socket, limit: () => number) {
    this.#client = client
    this.#server = server
    this.#limit = limit
    client.on('data', (bytes: Buffer) => this.#bring(bytes))
    server.on('data', (bytes: Buffer) => {
      if (!this.#isSilent && !client.write(bytes)) server.pause()
    })
    client.on('drain', () => server.resume())
    server.on('drain', () => client.resume())
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.on('end', () => {
        if (!this.#isSilent) other.end()
      })
      // A broken connection is what the test is about; the other side learns of it below.
      one.on('error', () => {})
      one.once('close', () => {
        if (!this.#isSilent) other.destroy()
      })
    }
  }

  #bring(bytes: Buffer): void {
    if (this.#isSilent) return
    const allowed = Math.max(0, this.#limit() - this.#passed)
    const now = bytes.subarray(0, allowed)
    const later = bytes.subarray(now.length)
    this.#passed += now.length
    const isFull = now.length > 0 && !this.#server.write(now)
    if (later.length > 0) this.#waiting.push(later)
    if (isFull || later.length > 0) this.#client.pause()
  }

  /** Nothing comes through any more, not even that a side has closed. */
  discardOutput(): void {
    this.#isSilent = true
    this.#waiting = []
    this.#client.resume()
    this.#server.resume()
  }

  /** Calls `listener` when both sides have closed. */
  onOver(listener: () => void): void {
    const look = () => {
      if (this.#client.closed && this.#server.closed) listener()
    }
    this.#client.once('close', look)
    this.#server.once('close', look)
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
