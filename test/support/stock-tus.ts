import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FileStore } from '@tus/file-store'
import { Server } from '@tus/server'

export type StockTus = { url: URL; close: () => Promise<void> }

/** What a server does otherwise than the stock one. */
export type Flaw = {
  /** Methods that it does not know. */
  refuses?: string
  /** The status that it gives to answers of a method instead of another. */
  status?: { method: string; of: number; is: number }
  /** A header that none of its answers has, or none to one method. */
  lacks?: { header: string; method?: string }
}

/** `@tus/server` as it comes, on disk, at a free port; or with a flaw. */
export async function startStockTus(flaw: Flaw = {}): Promise<StockTus> {
  const directory = await mkdtemp(join(tmpdir(), 'landfall-stock-'))
  const stock = new Server({ path: '/files', datastore: new FileStore({ directory }) })
  const server = createServer((request, response) => {
    if (request.method === flaw.refuses) return void response.writeHead(405).end()
    spoil(request, response, flaw)
    void stock.handle(request, response)
  })
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

/** Changes the head of an answer when it is written: the stock server gives names and values in one array. */
function spoil({ method }: IncomingMessage, response: ServerResponse, { status, lacks }: Flaw): void {
  const writeHead = response.writeHead.bind(response)
  const isMeant = (wanted: string | undefined) => wanted === undefined || wanted === method
  response.writeHead = (code: number, _text?: unknown, headers?: unknown) => {
    const given = Array.isArray(headers) ? headers.map(String) : []
    const kept = given.filter((_value, index) => {
      const name = given[index - (index % 2)]
      return !(lacks && isMeant(lacks.method) && name?.toLowerCase() === lacks.header.toLowerCase())
    })
    return writeHead(status && isMeant(status.method) && code === status.of ? status.is : code, kept)
  }
}
