import { once } from 'node:events'
import type { Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import pino from 'pino'
import { expect, it, onTestFinished } from 'vitest'
import { DEADLINES } from './deadlines.ts'
import { answerExpectations } from './expect-continue.ts'
import { createListener, listen } from './listener.ts'
import { answerUpgrades } from './upgrades.ts'

it('logs a flood of connections as one line, and counts each', async () => {
  const lines: string[] = []
  let refused = 0
  const server = createListener((_request, response) => void response.end(), {
    deadlines: DEADLINES,
    maxHeaderBytes: 16_384,
    maxConnections: 1,
    silenceMs: 60_000,
    log: pino({ level: 'info' }, { write: (line) => lines.push(line) }),
    onRefused: () => {
      refused += 1
    },
  })
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const port = await listen(server, 0, '127.0.0.1')
  expect(port).toBe((server.address() as AddressInfo).port)
  const kept = connect(port, '127.0.0.1')
  await once(kept, 'connect')
  for (let i = 0; i < 20; i++) {
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    await once(socket, 'close')
  }
  expect(refused).toBe(20)
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    expect.objectContaining({ level: 40, maxConnections: 1, refused: 1 }),
  ])
  kept.destroy()
})

it('closes a connection that asked for a WebSocket, was answered, and does not read', async () => {
  const server = createListener(() => {}, {
    deadlines: DEADLINES,
    maxHeaderBytes: 16_384,
    maxConnections: 10,
    silenceMs: 300,
    log: pino({ level: 'silent' }),
    onRefused: () => {},
  })
  answerUpgrades(server, (_request, response) => {
    response.writeHead(200, { 'Content-Length': 100_000_000 })
    response.write(Buffer.alloc(50_000_000))
  })
  onTestFinished(() => void server.close())
  const port = await listen(server, 0, '127.0.0.1')
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  await once(server, 'upgrade')
  // Nothing is read here, so that nothing moves.
  await expect.poll(() => connectionsOf(server), { timeout: 5_000 }).toBe(0)
  socket.destroy()
})

it.each(['', 'Expect: 100-continue\r\n'])(
  'writes no refusal of what follows into an answer under way (%j)',
  async (expectation) => {
    const server = createListener((_request, response) => void response.write('half an answer'), {
      deadlines: DEADLINES,
      maxHeaderBytes: 16_384,
      maxConnections: 10,
      silenceMs: 60_000,
      log: pino({ level: 'silent' }),
      onRefused: () => {},
    })
    answerExpectations(server, (target) => target.startsWith('/files'))
    onTestFinished(() => void server.close())
    const port = await listen(server, 0, '127.0.0.1')
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    let received = ''
    socket.on('data', (bytes) => {
      received += bytes
      if (received.includes('half an answer')) socket.write('no request\r\n\r\n')
    })
    socket.write(`GET / HTTP/1.1\r\nHost: x\r\n${expectation}\r\n`)
    await once(socket, 'close')
    expect(received).toContain('half an answer')
    expect(received).not.toContain('not valid HTTP')
  },
)

async function connectionsOf(server: Server): Promise<number> {
  return await new Promise((resolve) => server.getConnections((_error, count) => resolve(count)))
}
