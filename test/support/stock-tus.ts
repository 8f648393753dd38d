import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FileStore } from '@tus/file-store'
import { Server } from '@tus/server'

export type StockTus = { url: URL; close: () => Promise<void> }

/** `@tus/server` as it comes, on disk, at a free port. */
export async function startStockTus(): Promise<StockTus> {
  const directory = await mkdtemp(join(tmpdir(), 'landfall-stock-'))
  const stock = new Server({ path: '/files', datastore: new FileStore({ directory }) })
  const server = createServer((request, response) => void stock.handle(request, response))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/files`),
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await rm(directory, { recursive: true, force: true })
    },
  }
}
