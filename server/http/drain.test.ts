import { EventEmitter, once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { Request, Response } from 'express'
import { expect, it, onTestFinished } from 'vitest'
import { Drain, type DrainLimits } from './drain.ts'

const LIMITS: DrainLimits = { lingerMs: 300, arrivalMs: 100, patientMs: 6000, patientClients: 2 }
const PIECE = 100_000

/** Tells which connection the server has closed, by the port of its client. */
const closings = new EventEmitter()

/** A server that refuses each request in mid-body, and closes its connection with the answer where that is asked for. */
async function refusingServer(isClosing: boolean, drain = new Drain(LIMITS)): Promise<number> {
  const server: Server = createServer((request, response) => {
    const local = Object.assign(response, { locals: {} }) as unknown as Response
    drain.prepare(request as Request, local)
    if (!isClosing) return void response.writeHead(409).end()
    response.writeHead(415, { Connection: 'close', 'Content-Length': '2' }).write('{}')
    const { discardRest } = local.locals as { discardRest: () => Promise<void> }
    void discardRest().then(() => response.end())
  })
  server.on('connection', (socket) => {
    const client = String(socket.remotePort)
    socket.once('close', () => closings.emit(client))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/**
 * Sends a piece now and then until all is sent or the server closes the connection; gives the milliseconds. Never reads.
 */
async function sendingMs(port: number, everyMs: number, framing: string): Promise<number> {
  const socket: Socket = connect(port, '127.0.0.1').pause()
  socket.on('error', () => {})
  await once(socket, 'connect')
  const startedAt = performance.now()
  socket.write(`PATCH / HTTP/1.1\r\nHost: x\r\n${framing}\r\n\r\n`)
  const isChunked = framing.startsWith('Transfer')
  const piece = Buffer.alloc(PIECE)
  let left = isChunked ? Number.POSITIVE_INFINITY : Number(framing.split(': ')[1])
  const timer = setInterval(() => {
    left -= PIECE
    if (left < 0) return void socket.end()
    if (isChunked) socket.write(`${PIECE.toString(16)}\r\n`)
    socket.write(piece)
    if (isChunked) socket.write('\r\n')
  }, everyMs)
  await once(closings, String(socket.localPort))
  clearInterval(timer)
  socket.destroy()
  return performance.now() - startedAt
}

const CHUNKED = 'Transfer-Encoding: chunked'
/** So much comes within `patientMs`. */
const FITTING = 'Content-Length: 16000000'
const LONG = 'Content-Length: 400000000'

it.each<[string, boolean, number, string, (ms: number) => boolean]>([
  ['a fast sender of what fits, before a close', true, 4, FITTING, (ms) => ms > 600],
  ['a slow sender, before a close', true, 100, FITTING, (ms) => ms < 3000],
  ['a sender of gigabytes, before a close', true, 4, LONG, (ms) => ms < 3000],
  ['a slow sender of chunks, before a close', true, 100, CHUNKED, (ms) => ms < 3000],
  ['a fast sender of what fits', false, 4, FITTING, (ms) => ms > 600],
  ['a slow sender', false, 100, CHUNKED, (ms) => ms < 3000],
  ['a client that sends nothing, before a close', true, 60_000, FITTING, (ms) => ms < 1500],
  ['a sender of gigabytes', false, 4, LONG, (ms) => ms < 3000],
])('ends %s in time', async (_what, isClosing, everyMs, framing, inTime) => {
  const ms = await sendingMs(await refusingServer(isClosing), everyMs, framing)
  expect(ms).toSatisfy(inTime)
  expect(ms).toBeLessThan(10_000)
})

it('waits long for so many clients at a time, and for others as it did', async () => {
  const drain = new Drain(LIMITS)
  const port = await refusingServer(true, drain)
  let most = 0
  const looking = setInterval(() => {
    most = Math.max(most, drain.patientClients)
  }, 5)
  // So slow that it takes a while, and fast enough to be waited for.
  await Promise.all(Array.from({ length: 6 }, () => sendingMs(port, 20, FITTING)))
  clearInterval(looking)
  expect(most).toBe(LIMITS.patientClients)
  expect(drain.patientClients).toBe(0)
})

it('leaves nothing on a connection that serves more requests', async () => {
  const listeners: number[] = []
  const drain = new Drain(LIMITS)
  const server = createServer((request, response) => {
    listeners.push(request.socket.listenerCount('close'))
    drain.prepare(request as Request, Object.assign(response, { locals: {} }) as unknown as Response)
    response.writeHead(409).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  onTestFinished(() => {
    socket.destroy()
    server.closeAllConnections()
    server.close()
  })
  for (let sent = 0; sent < 20; sent++) {
    // The answer comes before the rest of the body.
    socket.write('PATCH / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab')
    await once(socket, 'data')
    socket.write('cd')
  }
  expect(listeners).toHaveLength(20)
  expect(Math.max(...listeners)).toBe(listeners[0])
})
