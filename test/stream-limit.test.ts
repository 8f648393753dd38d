import { afterEach, describe, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { createId } from './support/tus.ts'
import { openSocket, refusedUpgrade } from './support/websocket.ts'

const LIMIT = 4

describe('the event streams of one owner', () => {
  const undo: (() => unknown)[] = []
  afterEach(async () => {
    for (const release of undo.splice(0).reverse()) await release()
  })

  async function start(): Promise<Landfall> {
    const env = { STREAMS_PER_OWNER: String(LIMIT), DATABASE_POOL: '4' }
    const landfall = await startLandfall({ withoutWorker: true, env })
    undo.push(() => landfall.close())
    return landfall
  }

  /** The status of a stream, which stays open where it is one. */
  async function open(landfall: Landfall, sub: string, path: string) {
    const leave = new AbortController()
    const answer = await landfall.as(sub)(path, { signal: leave.signal })
    const { status, headers } = answer
    const code = status === 200 ? undefined : ((await answer.json()) as { code: string }).code
    return { status, code, retryAfter: Number(headers.get('Retry-After')), leave: () => leave.abort() }
  }

  it('are so many, of uploads and of all together, by either transport; one that ends makes room', async () => {
    const landfall = await start()
    const id = await createId(landfall, 'alice', { size: 2000 })
    const paths = ['/api/v1/events', `/api/v1/uploads/${id}/events`]
    const streams = [
      await open(landfall, 'alice', '/api/v1/events?lastEventId=0'),
      await open(landfall, 'alice', `/api/v1/uploads/${id}/events`),
    ]
    const sockets = [
      await openSocket(landfall, 'alice', '/api/v1/events/ws'),
      await openSocket(landfall, 'alice', `/api/v1/uploads/${id}/ws`),
    ]
    expect(streams.map(({ status }) => status)).toEqual([200, 200])
    for (const path of paths) {
      const refused = await open(landfall, 'alice', path)
      expect([refused.status, refused.code]).toEqual([429, 'too-many-streams'])
      expect(refused.retryAfter).toBeGreaterThanOrEqual(1)
    }
    const headers = { Authorization: `Bearer ${landfall.token('alice')}` }
    expect((await refusedUpgrade(landfall, '/api/v1/events/ws', headers)).status).toBe(429)
    // Others have streams of their own.
    const bobs = await open(landfall, 'bob', '/api/v1/events')
    expect(bobs.status).toBe(200)

    streams[0]?.leave()
    sockets[0]?.socket.terminate()
    const room = async () => {
      const stream = await open(landfall, 'alice', '/api/v1/events')
      undo.push(stream.leave)
      return stream.status
    }
    await expect.poll(room).toBe(200)
    await expect.poll(room).toBe(200)
    expect(await room()).toBe(429)
    for (const { leave } of [...streams, bobs]) leave()
    for (const { socket } of sockets) socket.terminate()
  })

  it('do not count where they did not begin: asked for at once, so many are let in and no place is lost', async () => {
    const landfall = await start()
    for (const owner of ['alice', 'bob', 'carol']) {
      const missing = '/api/v1/uploads/AAAAAAAAAAAAAAAAAAAAAA/events'
      const [asked, unknown] = await Promise.all([
        Promise.all(Array.from({ length: 30 }, () => open(landfall, owner, '/api/v1/events?lastEventId=0'))),
        open(landfall, owner, missing),
      ])
      const statuses = asked.map(({ status }) => status)
      expect(statuses.filter((status) => status === 200)).toHaveLength(LIMIT)
      expect(statuses.filter((status) => status === 429)).toHaveLength(30 - LIMIT)
      expect(unknown.status).toBe(404)
      for (const { leave } of asked) leave()
      const areAllFree = async () => {
        const streams = await Promise.all(
          Array.from({ length: LIMIT }, () => open(landfall, owner, '/api/v1/events')),
        )
        for (const { leave } of streams) leave()
        return streams.every(({ status }) => status === 200)
      }
      await expect.poll(areAllFree, { timeout: 10_000, interval: 200 }).toBe(true)
    }
  })
})
