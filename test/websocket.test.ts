import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { allEvents } from './support/event-log.ts'
import { asOwnerId, asUploadId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { raceAfter } from './support/pauses.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { createId, patch, terminate } from './support/tus.ts'
import { type EventSocket, openSocket, refusedUpgrade } from './support/websocket.ts'

const SIZE = 5000
const BYTES = asJpeg(Buffer.alloc(SIZE, 'x'))
const ORIGIN = 'https://app.example'
const NOBODY = 'A'.repeat(22)

const typesOf = ({ events }: EventSocket, uploadId: string): string[] =>
  events
    .filter(({ event, data }) => event === 'state' && data.uploadId === uploadId)
    .map(({ data }) => data.type)

describe('a WebSocket of events', () => {
  let here: Landfall
  let there: Landfall
  const opened: EventSocket[] = []

  beforeAll(async () => {
    // A heartbeat a second.
    const env = { UPLOAD_MAX_OPEN: '1000', UPLOAD_IDLE_TIMEOUT: '3s', CORS_ORIGINS: ORIGIN }
    here = await startLandfall({ withoutWorker: true, env })
    there = await startLandfall({ withoutWorker: true, env, beside: here })
  })
  afterAll(async () => {
    await there?.close()
    await here?.close()
  })
  afterEach(() => {
    for (const { socket } of opened.splice(0)) socket.terminate()
  })

  async function open(...args: Parameters<typeof openSocket>): Promise<EventSocket> {
    const socket = await openSocket(...args)
    opened.push(socket)
    return socket
  }

  it('tells of an upload what its server-sent events tell, and is closed with 1000 after the last', async () => {
    const id = await createId(here, 'alice', { size: SIZE })
    const watching = await open(there, 'alice', `/api/v1/uploads/${id}/ws`)
    await patch(here, 'alice', id, { offset: 0, body: BYTES.subarray(0, 2000) })
    await terminate(here, 'alice', id)
    expect(await watching.closed).toBe(1000)
    const states = watching.events.filter(({ event }) => event === 'state')
    const sse = await allEvents(here, 'alice', id)
    expect(states).toEqual(sse.filter(({ event }) => event === 'state'))
    expect(typesOf(watching, id)).toEqual(['upload.created', 'upload.terminated'])

    const rest = await open(here, 'alice', `/api/v1/uploads/${id}/ws?lastEventId=${states[0]?.id}`)
    expect(await rest.closed).toBe(1000)
    expect(typesOf(rest, id)).toEqual(['upload.terminated'])
    const over = await open(here, 'alice', `/api/v1/uploads/${id}/ws?lastEventId=${states[1]?.id}`)
    expect(await over.closed).toBe(1000)
    expect(over.events).toEqual([])
  })

  it('tells of all uploads of its owner and of no others, on any node', async () => {
    const mine = await open(there, 'anna', '/api/v1/events/ws')
    const theirs = await open(there, 'mallory', '/api/v1/events/ws')
    const id = await createId(here, 'anna', { size: SIZE })
    await patch(here, 'anna', id, { offset: 0, body: BYTES })
    await expect.poll(() => typesOf(mine, id)).toEqual(['upload.created', 'upload.received'])
    const progress = mine.events.findLast(({ event }) => event === 'progress')
    expect(progress?.data).toMatchObject({ uploadId: id, offset: SIZE, percent: 100 })
    expect(theirs.events).toEqual([])
  })

  it.each([
    ['without a token', '/api/v1/events/ws', {}, 401, 'token-missing'],
    [
      'with a wrong token',
      '/api/v1/events/ws',
      { Authorization: 'Bearer e30.e30.e30' },
      401,
      'token-invalid',
    ],
    ['for an upload that there is not', `/api/v1/uploads/${NOBODY}/ws`, 'alice', 404, 'not-found'],
    ['for what is no id', '/api/v1/uploads/%00/ws', 'alice', 404, 'not-found'],
    ['where there is nothing', '/api/v1/nothing/ws', 'alice', 404, 'not-found'],
    ['of a status', '/healthz', {}, 200, undefined],
    ['of an address beyond reading', '/api/v1/uploads/%zz/ws', 'alice', 400, 'invalid-request'],
  ] as const)('is refused %s', async (_why, path, who, status, code) => {
    const headers = who === 'alice' ? { Authorization: `Bearer ${here.token('alice')}` } : who
    expect(await refusedUpgrade(here, path, headers)).toMatchObject({ status, code })
  })

  it('is refused to who may not see the upload, as if there were none', async () => {
    const id = await createId(here, 'alice', { size: SIZE })
    const headers = { Authorization: `Bearer ${here.token('mallory')}` }
    expect(await refusedUpgrade(here, `/api/v1/uploads/${id}/ws`, headers)).toEqual({
      status: 404,
      code: 'not-found',
      connection: 'close',
    })
  })

  it.each([
    ['another version', { 'Sec-WebSocket-Version': '7' }, 426, 'upgrade-required'],
    ['another protocol', { Upgrade: 'h2c' }, 426, 'upgrade-required'],
    ['a malformed key', { 'Sec-WebSocket-Key': 'short' }, 400, 'invalid-request'],
    ['a malformed position', { 'Last-Event-ID': 'abc' }, 400, 'invalid-header'],
    ['a page of another origin', { Origin: 'https://evil.example' }, 403, 'forbidden'],
    ['a page of no origin', { Origin: 'null' }, 403, 'forbidden'],
  ])('is refused for %s', async (_why, headers, status, code) => {
    const all = { Authorization: `Bearer ${here.token('alice')}`, ...headers }
    expect(await refusedUpgrade(here, '/api/v1/events/ws', all)).toMatchObject({ status, code })
  })

  it('is asked for by a plain GET with 426', async () => {
    const answer = await here.as('alice')('/api/v1/events/ws')
    expect([answer.status, answer.headers.get('Upgrade'), await answer.json()]).toEqual([
      426,
      'websocket',
      expect.objectContaining({ code: 'upgrade-required' }),
    ])
  })

  it('is open to the pages of CORS_ORIGINS, and to the page of the server', async () => {
    for (const origin of [ORIGIN, here.url]) {
      const { socket } = await open(here, 'alice', '/api/v1/events/ws', { origin })
      expect(socket.readyState).toBe(socket.OPEN)
    }
  })

  it('leaves other requests alone that offer another protocol, bodies and all', async () => {
    const { hostname, port } = new URL(here.url)
    const socket = connect(Number(port), hostname)
    const lines = [
      'POST /files HTTP/1.1',
      `Host: ${hostname}`,
      `Authorization: Bearer ${here.token('alice')}`,
      'Connection: Upgrade, HTTP2-Settings',
      'Upgrade: h2c',
      'Tus-Resumable: 1.0.0',
      `Upload-Length: ${SIZE}`,
      'Content-Type: application/offset+octet-stream',
      `Content-Length: ${SIZE}`,
    ]
    socket.write(`${lines.join('\r\n')}\r\n\r\n`)
    socket.write(BYTES)
    const [answer] = (await once(socket, 'data')) as [Buffer]
    socket.destroy()
    expect(String(answer)).toMatch(/^HTTP\/1\.1 201 [\s\S]*Upload-Media-Id/)
  })

  it('survives clients that leave while they are being let in', async () => {
    const { hostname, port } = new URL(here.url)
    for (let round = 0; round < 100; round++) {
      const socket = connect(Number(port), hostname)
      await once(socket, 'connect')
      const lines = [
        'GET /api/v1/events/ws HTTP/1.1',
        `Host: ${hostname}`,
        `Authorization: Bearer ${here.token('alice')}`,
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        `Sec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}`,
      ]
      socket.write(`${lines.join('\r\n')}\r\n\r\n${'garbage'.repeat(round)}`)
      void raceAfter(round % 5).then(() => socket.resetAndDestroy())
      await once(socket, 'close')
    }
    expect((await fetch(`${here.url}/healthz`)).status).toBe(200)
  })

  it('listens to nothing: small messages are ignored, one over 1 KB closes it', async () => {
    const watching = await open(here, 'alice', '/api/v1/events/ws')
    watching.socket.send('x'.repeat(1024))
    const id = await createId(here, 'alice', { size: SIZE })
    await expect.poll(() => typesOf(watching, id)).toEqual(['upload.created'])
    watching.socket.send('x'.repeat(1025))
    expect(await watching.closed).toBe(1009)
  })

  it('sends what is more than it holds at a time, all of it in order, as it is taken', async () => {
    const EVENTS = 2000
    const ownerId = 'made-up'
    const rows = Array.from({ length: EVENTS }, (_, i) => ({
      type: 'upload.created' as const,
      upload_id: asUploadId(`no ${i}`),
      owner_id: asOwnerId(ownerId),
      data: JSON.stringify({ padding: 'x'.repeat(3000) }),
    }))
    await here.db.insertInto('landfall.events').values(rows).execute()
    const from = performance.now()
    const watching = await open(there, ownerId, '/api/v1/events/ws?lastEventId=0')
    await expect.poll(() => watching.events.length).toBe(EVENTS)
    // By heartbeats alone it would take twenty seconds.
    expect(performance.now() - from).toBeLessThan(15_000)
    expect(watching.events.map(({ data }) => data.uploadId)).toEqual(rows.map((row) => row.upload_id))
    await here.db.deleteFrom('landfall.events').where('owner_id', '=', asOwnerId(ownerId)).execute()
  })

  it('stays open while its peer answers pings, and is cut when it does not', async () => {
    const alive = await open(here, 'alice', '/api/v1/events/ws')
    const dead = await open(here, 'alice', '/api/v1/events/ws', { autoPong: false })
    const from = performance.now()
    expect(await dead.closed).toBe(1006)
    // Not only when the network gives up.
    expect(performance.now() - from).toBeLessThan(20_000)
    let pings = 0
    alive.socket.on('ping', () => pings++)
    await expect.poll(() => pings).toBeGreaterThanOrEqual(2)
    expect(alive.socket.readyState).toBe(alive.socket.OPEN)
  })

  it('is closed with 1001 as soon as the server stops, also where the peer has stopped reading', async () => {
    const node = await startLandfall({ withoutWorker: true, beside: here })
    const watching = await open(node, 'alice', '/api/v1/events/ws')
    const deaf = await open(node, 'alice', '/api/v1/events/ws')
    deaf.socket.pause()
    const from = performance.now()
    const closing = node.close()
    // Before the server has given up on the other.
    const first = await Promise.race([watching.closed, closing.then(() => 'the server has stopped')])
    expect(first).toBe(1001)
    await closing
    expect(performance.now() - from).toBeLessThan(20_000)
  })
})
