import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import express, { type Express, type Request, type Response } from 'express'
import { afterEach, expect, it, vi } from 'vitest'
import { slowly } from '../../test/support/pauses.ts'
import { CLIENT_GONE } from '../http/client-gone.ts'
import { layer } from '../http/layer.ts'
import { renderProblem } from '../http/problem-renderer.ts'
import { endTurn, inNewOwnerTurn, OwnerTurns, recordArrival } from './owner-turns.ts'

const undo: (() => unknown)[] = []
afterEach(() => {
  for (const release of undo.splice(0)) release()
})

/** A node on which requests are of the owner that they name, or alice's. */
async function node({
  beforeMs = 0,
  recordAfterMs = 5_000,
} = {}): Promise<{ port: number; turns: OwnerTurns; app: Express }> {
  const app = express()
  const turns = new OwnerTurns({ recordAfterMs })
  app.use(layer(recordArrival), async (request: Request, response: Response, next: () => void) => {
    if (beforeMs > 0) await slowly(beforeMs)
    const ownerId = request.get('X-Owner') ?? 'alice'
    response.locals.principal = { ownerId }
    await turns.enter(request, response, ownerId)
    next()
  })
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
  return { port: (server.address() as AddressInfo).port, turns, app }
}

it('end with the answer, though it waits behind one that its client does not read', async () => {
  const { port } = await node()
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  undo.push(() => socket.destroy())
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
  socket.write(get('/large') + get('/small').repeat(40))
  await once(socket, 'readable')
  const answer = await fetch(`http://127.0.0.1:${port}/small`, { signal: AbortSignal.timeout(5_000) })
  expect(answer.status).toBe(200)
})

it('are sixteen at a time for an owner who is alone, and one beside others, with a rest for what each took', async () => {
  const { port, app } = await node({ beforeMs: 20 })
  const running = { now: 0, most: 0 }
  const goOn = Promise.withResolvers<void>()
  let work = () => goOn.promise
  app.get('/work', async (request, response) => {
    if (request.get('X-Owner') === 'many') running.most = Math.max(running.most, ++running.now)
    await work()
    if (request.get('X-Owner') === 'many') running.now -= 1
    response.json({})
  })
  const ask = async (owner: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}/work`, { headers: { 'X-Owner': owner } })
    expect(answer.status).toBe(200)
    await answer.arrayBuffer()
  }
  const askAtOnce = (times: number) => Promise.all(Array.from({ length: times }, () => ask('many')))
  const asked = askAtOnce(40)
  await expect.poll(() => running.now, { timeout: 10_000 }).toBe(16)
  goOn.resolve()
  await asked
  expect(running.most).toBe(16)
  work = () => slowly(5)
  running.most = 0
  await ask('few')
  const began = performance.now()
  await askAtOnce(10)
  expect(running.most).toBe(1)
  // Nine rests of fifty milliseconds: twice the five of the turn and the twenty before it.
  expect(performance.now() - began).toBeGreaterThan(9 * 45)
})

/** Ten requests of one owner that record what has arrived, while others ask for something as well. */
async function recorded(work: () => Promise<unknown>, options: { recordAfterMs?: number } = {}) {
  const { port, app } = await node(options)
  const running = { now: 0, most: 0 }
  app.get('/body', async (_request, response) => {
    endTurn(response)
    await slowly(50)
    await inNewOwnerTurn(response, async () => {
      running.most = Math.max(running.most, ++running.now)
      await work()
      running.now -= 1
    })
    response.json({})
  })
  const ask = async (path: string, owner: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { 'X-Owner': owner } })
    expect(answer.status).toBe(200)
  }
  await ask('/small', 'few')
  const done = Promise.all(Array.from({ length: 10 }, () => ask('/body', 'many')))
  return { running, done }
}

it('record what has arrived one at a time as well, beside others', async () => {
  const { running, done } = await recorded(() => slowly(5))
  await done
  expect(running.most).toBe(1)
})

it('record it without a turn where that takes long, as when another node holds one up', async () => {
  const goOn = Promise.withResolvers<void>()
  const { running, done } = await recorded(() => goOn.promise, { recordAfterMs: 200 })
  await expect.poll(() => running.now, { timeout: 10_000 }).toBe(10)
  goOn.resolve()
  await done
})

it('are not for a request whose client has gone, which is no error of the server', async () => {
  const { turns } = await node()
  const destroy = vi.fn()
  const gone = { destroyed: true, locals: {}, destroy } as unknown as Response
  await expect(turns.enter({} as Request, gone, 'alice')).rejects.toBe(CLIENT_GONE)
  renderProblem(CLIENT_GONE, 'an id', gone)
  expect([destroy.mock.calls.length, gone.err]).toEqual([1, undefined])
})
