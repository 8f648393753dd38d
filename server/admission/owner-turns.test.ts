import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import express from 'express'
import { afterEach, expect, it } from 'vitest'
import { endTurn, OwnerTurns } from './owner-turns.ts'

const undo: (() => unknown)[] = []
afterEach(() => {
  for (const release of undo.splice(0)) release()
})

/** A node on which all requests are of one owner. */
async function node(): Promise<number> {
  const app = express()
  app.use(
    new OwnerTurns().after((_request, response, next) => {
      response.locals.principal = { ownerId: 'alice' }
      next()
    }),
  )
  app.get('/large', (_request, response) => {
    endTurn(response)
    response.end(Buffer.alloc(50_000_000))
  })
  app.get('/small', (_request, response) => void response.json({}))
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  undo.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

it('end with the answer, though it waits behind one that its client does not read', async () => {
  const port = await node()
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  undo.push(() => socket.destroy())
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
  socket.write(get('/large') + get('/small').repeat(40))
  await once(socket, 'readable')
  const answer = await fetch(`http://127.0.0.1:${port}/small`, { signal: AbortSignal.timeout(5_000) })
  expect(answer.status).toBe(200)
})
