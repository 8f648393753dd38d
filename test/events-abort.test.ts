import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { raceAfter } from './support/pauses.ts'
import { createId } from './support/tus.ts'

const CLIENTS = 300
const AT_A_TIME = 10
/** How often a stream shows that it is alive, in milliseconds. */
const HEARTBEAT_MS = 15_000

/** The server runs in this process, where each stream has a timer for its signs of life. */
const heartbeats = new Set<unknown>()
const { setInterval: start, clearInterval: end } = globalThis
vi.stubGlobal('setInterval', (work: () => void, everyMs: number) => {
  const timer = start(work, everyMs)
  if (everyMs === HEARTBEAT_MS) heartbeats.add(timer)
  return timer
})
vi.stubGlobal('clearInterval', (timer: NodeJS.Timeout) => {
  heartbeats.delete(timer)
  end(timer)
})

describe('readers of events that leave at once', () => {
  let landfall: Landfall
  let id: string

  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true })
    id = await createId(landfall, 'alice', { size: 5000 })
  })
  afterAll(() => landfall?.close())

  async function ask(): Promise<Socket> {
    const { hostname, port } = new URL(landfall.url)
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {
      // It is going to be broken.
    })
    await once(socket, 'connect')
    const lines = [
      `GET /api/v1/uploads/${id}/events HTTP/1.1`,
      `Host: ${hostname}`,
      `Authorization: Bearer ${landfall.token('alice')}`,
    ]
    socket.write(`${lines.join('\r\n')}\r\n\r\n`)
    return socket
  }

  async function askAndLeave(afterMs: number): Promise<void> {
    const socket = await ask()
    void raceAfter(afterMs).then(() => socket.resetAndDestroy())
    await once(socket, 'close')
  }

  const untilThereAre = (count: number) =>
    vi.waitFor(() => expect(heartbeats.size).toBe(count), { timeout: 10_000 })

  it('leave no stream behind, whenever that is', async () => {
    const before = heartbeats.size
    for (let round = 0; round < CLIENTS / AT_A_TIME; round++) {
      await Promise.all(Array.from({ length: AT_A_TIME }, (_, index) => askAndLeave((round + index) % 4)))
    }
    await untilThereAre(before)
  })

  it('are told from those that stay, by the same count', async () => {
    const before = heartbeats.size
    const sockets = await Promise.all(Array.from({ length: AT_A_TIME }, ask))
    // One for each stream, and one for the owner that they are of.
    await vi.waitFor(() => expect(heartbeats.size).toBeGreaterThanOrEqual(before + AT_A_TIME), 10_000)
    for (const socket of sockets) socket.destroy()
    await untilThereAre(before)
  })
})
