import { once } from 'node:events'
import { createServer, request } from 'node:http'

export type PrefixProxy = { close(): Promise<void> }

/**
 * A proxy that has a server below `/up`, and takes that off the path or not. It adds no headers, so that the server knows
 * of it by its settings alone. Anything beside the path is 404.
 */
export async function startPrefixProxy(
  port: number,
  targetOf: () => string,
  { isTakenOff }: { isTakenOff: boolean },
): Promise<PrefixProxy> {
  const server = createServer((incoming, outgoing) => {
    const { url = '', method, headers } = incoming
    if (!/^\/up(?:[/?]|$)/.test(url)) return void outgoing.writeHead(404).end()
    const rest = url.slice('/up'.length)
    const path = isTakenOff ? (rest.startsWith('/') ? rest : `/${rest}`) : url
    const sent = request(new URL(targetOf()), { method, path, headers, agent: false }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
      outgoing.once('close', () => answer.destroy())
    })
    sent.on('error', () => outgoing.destroy())
    incoming.pipe(sent)
  }).listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    async close() {
      server.closeAllConnections()
      const closed = once(server, 'close')
      server.close()
      await closed
    },
  }
}
