import pino from 'pino'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openQueues } from '../jobs/queues.ts'
import { reap } from '../jobs/upkeep/reaper.ts'
import { clearExpiredTickets } from '../ledger/stream-tickets.ts'
import { StreamTicket } from '../server/api/schemas.ts'
import { parseConfig } from '../server/config.ts'
import { startHttpServer } from '../server/serving/http-server.ts'
import { readStream } from './support/event-reader.ts'
import { type Landfall, SECRET, startLandfall } from './support/landfall.ts'
import { QUIET } from './support/quiet.ts'
import { createId, terminate } from './support/tus.ts'
import { type EventSocket, openSocket, refusedUpgrade } from './support/websocket.ts'

const SIZE = 5000

async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

describe('a ticket for streams', () => {
  let here: Landfall
  let there: Landfall
  const opened: EventSocket[] = []

  beforeAll(async () => {
    here = await startLandfall({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '1000' } })
    there = await startLandfall({ withoutWorker: true, beside: here })
  })
  afterAll(async () => {
    await there?.close()
    await here?.close()
  })
  afterEach(async () => {
    for (const { socket } of opened.splice(0)) socket.terminate()
    await here.db.deleteFrom('landfall.stream_tickets').execute()
  })

  async function ticketOf(sub: string): Promise<string> {
    const answer = await here.as(sub)('/api/v1/events/tickets', { method: 'POST' })
    expect(answer.status).toBe(201)
    expect(answer.headers.get('Cache-Control')).toBe('no-store')
    return StreamTicket.strict().parse(await answer.json()).ticket
  }

  async function open(path: string, node = here): Promise<EventSocket> {
    const socket = await openSocket(node, undefined, path)
    opened.push(socket)
    return socket
  }

  const expire = () =>
    here.db
      .updateTable('landfall.stream_tickets')
      .set({ expires_at: new Date(Date.now() - 1000) })
      .execute()

  async function codeOf(path: string): Promise<[number, string]> {
    const answer = await fetch(here.url + path)
    const { code } = (await answer.json()) as { code: string }
    return [answer.status, code]
  }

  it('is good for a minute, and nothing that is kept of it would be a ticket', async () => {
    const answer = await here.as('alice')('/api/v1/events/tickets', { method: 'POST' })
    const { ticket, expiresAt } = (await answer.json()) as { ticket: string; expiresAt: string }
    const leftMs = Date.parse(expiresAt) - Date.now()
    expect(leftMs).toBeGreaterThan(50_000)
    expect(leftMs).toBeLessThanOrEqual(60_500)
    const [row] = await here.db.selectFrom('landfall.stream_tickets').selectAll().execute()
    expect(row?.owner_id).toBe('alice')
    expect(row?.token_hash).toHaveLength(32)
    expect(row?.token_hash.toString('base64url')).not.toBe(ticket)
    expect(await ticketOf('alice')).not.toBe(ticket)
  })

  it('is given for a token only, and not for a ticket', async () => {
    const ticket = await ticketOf('alice')
    for (const query of ['', `?ticket=${ticket}`]) {
      const answer = await fetch(`${here.url}/api/v1/events/tickets${query}`, { method: 'POST' })
      expect(answer.status).toBe(401)
    }
  })

  it('starts every kind of stream, on every node and more than once', async () => {
    const id = await createId(here, 'alice', { size: SIZE })
    const ticket = await ticketOf('alice')
    const all = await open(`/api/v1/events/ws?ticket=${ticket}`, there)
    const one = await open(`/api/v1/uploads/${id}/ws?ticket=${ticket}`)
    const sent = allOf(readStream(`${there.url}/api/v1/uploads/${id}/events?ticket=${ticket}`, {}))
    const streamOfOwner = readStream(`${here.url}/api/v1/events?ticket=${ticket}&lastEventId=0`, {})
    expect((await streamOfOwner.next()).value?.data.type).toBe('upload.created')
    await streamOfOwner.return(undefined)
    await terminate(here, 'alice', id)
    expect(await one.closed).toBe(1000)
    expect((await sent).at(-1)?.data.type).toBe('upload.terminated')
    await expect.poll(() => all.events.at(-1)?.data.type).toBe('upload.terminated')
  })

  it('shows what is its owner’s and nothing else', async () => {
    const id = await createId(here, 'alice', { size: SIZE })
    const ticket = await ticketOf('mallory')
    expect(await codeOf(`/api/v1/uploads/${id}/events?ticket=${ticket}`)).toEqual([404, 'not-found'])
    expect(await refusedUpgrade(here, `/api/v1/uploads/${id}/ws?ticket=${ticket}`)).toMatchObject({
      status: 404,
    })
    const watching = await open(`/api/v1/events/ws?ticket=${ticket}&lastEventId=0`)
    await terminate(here, 'alice', id)
    const own = await createId(here, 'mallory', { size: SIZE })
    await expect.poll(() => watching.events.some(({ event }) => event === 'state')).toBe(true)
    expect(new Set(watching.events.map(({ data }) => data.uploadId))).toEqual(new Set([own]))
  })

  it.each(['/api/v1/uploads', '/api/v1/media', '/api/v1/quota', '/api/v1/formats'])(
    'opens nothing but streams: not %s',
    async (path) => {
      expect(await codeOf(`${path}?ticket=${await ticketOf('alice')}`)).toEqual([401, 'token-missing'])
    },
  )

  it('ends, which a stream that it has started does not notice', async () => {
    const ticket = await ticketOf('alice')
    const watching = await open(`/api/v1/events/ws?ticket=${ticket}`)
    await expire()
    const expired = [401, 'token-expired']
    expect(await codeOf(`/api/v1/events?ticket=${ticket}`)).toEqual(expired)
    expect(await refusedUpgrade(here, `/api/v1/events/ws?ticket=${ticket}`)).toMatchObject({
      status: 401,
      code: 'token-expired',
    })
    expect(await clearExpiredTickets(here.db)).toBe(1)
    expect(await codeOf(`/api/v1/events?ticket=${ticket}`)).toEqual(expired)
    const id = await createId(here, 'alice', { size: SIZE })
    await expect.poll(() => watching.events.at(-1)?.data.uploadId).toBe(id)
  })

  it('is removed by the reaper when it has ended, and not before', async () => {
    const onError = (error: unknown) => {
      throw error
    }
    const boss = await openQueues({ db: here.db, supervise: false, onError })
    const reapNow = () =>
      reap({ db: here.db, boss, retentionMs: 86_400_000, notifyListeners: () => {}, log: QUIET })
    const kept = () => here.db.selectFrom('landfall.stream_tickets').select('owner_id').execute()
    await ticketOf('alice')
    await expire()
    await ticketOf('bert')
    await reapNow()
    expect(await kept()).toEqual([{ owner_id: 'bert' }])
    await boss.stop({ close: false, graceful: false })
  })

  it.each(['', 'short', 'A'.repeat(44), '%00', 'a&ticket=b'])('is not "%s"', async (ticket) => {
    expect(await codeOf(`/api/v1/events?ticket=${ticket}`)).toEqual([401, 'token-invalid'])
  })

  it('is never in the log', async () => {
    const lines: string[] = []
    const log = pino({ level: 'trace' }, { write: (line) => lines.push(line) })
    const { connectionString, dataDirectory } = here
    const env = { AUTH_JWT_SECRET: SECRET, PORT: '0', SCAN: 'off', DATA_DIR: dataDirectory }
    const config = parseConfig({ ...env, DATABASE_URL: connectionString }, { auth: true })
    const options = {
      config,
      log,
      connectionString,
      isOnlyServer: false,
      devCode: undefined,
      pageDirectory: undefined,
    }
    const server = await startHttpServer(options)
    const node = { ...here, url: `http://127.0.0.1:${server.port}` }
    const ticket = await ticketOf('alice')
    await openSocket(node, undefined, `/api/v1/events/ws?ticket=${ticket}`)
    const stream = readStream(`${node.url}/api/v1/events?lastEventId=0&ticket=${ticket}`, {})
    await stream.next()
    await stream.return(undefined)
    await expire()
    await refusedUpgrade(node, `/api/v1/events/ws?ticket=${ticket}`, { Referer: `/?ticket=${ticket}` })
    await fetch(`${node.url}/api/v1/events?ticket=${ticket}`)
    await server.close()
    expect(lines.filter((line) => line.includes('/api/v1/events')).length).toBeGreaterThanOrEqual(3)
    for (const line of lines) expect(line).not.toContain(ticket)
  })

  it('does not help a wrong token', async () => {
    const ticket = await ticketOf('alice')
    const answer = await fetch(`${here.url}/api/v1/events?ticket=${ticket}`, {
      headers: { Authorization: 'Bearer e30.e30.e30' },
    })
    expect(answer.status).toBe(401)
  })
})
