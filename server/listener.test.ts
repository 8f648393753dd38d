import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import pino from 'pino'
import { expect, it, onTestFinished } from 'vitest'
import { DEADLINES } from './deadlines.ts'
import { createListener, listen } from './listener.ts'

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
