import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { slowly } from '../support/pauses.ts'
import { Random } from '../support/random.ts'

/** A network that now and then breaks a connection. */
export type ResettingProxy = {
  url: string
  /** How many connections it has broken. */
  readonly resets: number
  close(): Promise<void>
}

export type ResettingOptions = {
  seed: number
  /** After each such time one of the connections is reset, by chance. */
  everyMs: number
  /** Of what each connection brings to the server: fast ones would be over before their turn comes. */
  bytesPerSecond: number
}

type Pair = { client: Socket; server: Socket }

/** Listens on a loopback port and passes bytes on to the server at `target` (an http URL). */
export async function startResettingProxy(
  target: string,
  options: ResettingOptions,
): Promise<ResettingProxy> {
  const { hostname, port } = new URL(target)
  const random = new Random(options.seed)
  const pairs = new Set<Pair>()
  let resets = 0
  const listener = createServer({ highWaterMark: 64 * 1024 }, (client) => {
    const pair = { client, server: connect(Number(port), hostname) }
    pairs.add(pair)
    client.once('close', () => pairs.delete(pair))
    join(pair, options.bytesPerSecond)
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const address = listener.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
  const timer = setInterval(() => {
    if (pairs.size === 0) return
    resets += 1
    reset(random.pick([...pairs]))
  }, options.everyMs)
  return {
    url: `http://127.0.0.1:${address.port}`,
    get resets() {
      return resets
    },
    async close() {
      clearInterval(timer)
      const closed = new Promise((resolve) => listener.close(resolve))
      for (const pair of pairs) reset(pair)
      await closed
    },
  }
}

function join({ client, server }: Pair, bytesPerSecond: number): void {
  for (const [one, other] of [
    [client, server],
    [server, client],
  ] as const) {
    // That connections break is what it is for; the other side learns of it below.
    one.on('error', () => {})
    one.once('close', () => other.destroy())
  }
  server.pipe(client)
  bring(client, server, bytesPerSecond).catch(() => {
    // The connection is broken.
  })
}

async function bring(client: Socket, server: Socket, bytesPerSecond: number): Promise<void> {
  for await (const chunk of client) {
    if (!server.write(chunk)) await once(server, 'drain')
    await slowly((chunk.length / bytesPerSecond) * 1000)
  }
  server.end()
}

/** Both ends see it at once, and what is on the way is lost. */
function reset({ client, server }: Pair): void {
  client.resetAndDestroy()
  server.resetAndDestroy()
}
