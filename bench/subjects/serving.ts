import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'

/** An environment variable that the bench has set. */
export function given(name: string): string {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set`)
  return value
}

/** Serves on a free loopback port, says where, and ends with the bench. */
export async function listen(listener: RequestListener): Promise<void> {
  process.once('disconnect', () => process.exit())
  process.once('SIGTERM', () => process.exit())
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
}
