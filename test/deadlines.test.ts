import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { beyond, nothingFor, slowly } from './support/pauses.ts'
import { parseFigures } from './support/prometheus.ts'
import { dribble, exchange, openConnection } from './support/raw-connection.ts'
import { createId, head } from './support/tus.ts'

const DEADLINES = { headersMs: 1_500, bodyMs: 1_000, answerMs: 2_000, idleMs: 1_500 }
/** Every deadline there is, a refused client's time to stop sending, and what a busy machine takes. */
const CLOSED_WITHIN_MS = 25_000
const DRIBBLE_MS = 100

describe('a connection that somebody keeps by a byte now and then', () => {
  let landfall: Landfall
  let id: string

  beforeAll(async () => {
    landfall = await startLandfall({
      ...{ withoutWorker: true, page: true, deadlines: DEADLINES },
      env: { METRICS_PORT: '0' },
    })
    id = await createId(landfall, 'alice', { size: 100_000 })
  })
  afterAll(() => landfall?.close())

  const open = async () => {
    const connection = await openConnection(landfall)
    onTestFinished(() => void connection.socket.destroy())
    return connection
  }
  const request = (line: string, ...headers: string[]) =>
    [`${line} HTTP/1.1`, 'Host: 127.0.0.1', ...headers, '', ''].join('\r\n')
  const token = () => `Authorization: Bearer ${landfall.token('alice')}`
  const tus = ['Tus-Resumable: 1.0.0', 'Upload-Offset: 0', 'Content-Type: application/offset+octet-stream']

  it.each<[string, () => string[]]>([
    ['POST /dev/token', () => [`X-Dev-Code: ${landfall.devCode}`, 'Content-Type: application/json']],
    ['POST /dev/token', () => ['Content-Type: application/json']],
    ['POST /api/v1/media/AbCdEfGhIjKlMnOpQrStUv/analysis', () => ['Webhook-Signature: v1,x']],
    ['POST /api/v1/media/AbCdEfGhIjKlMnOpQrStUv/analysis', () => []],
    ['POST /api/v1/media/AbCdEfGhIjKlMnOpQrStUv/process', () => [token()]],
    ['POST /api/v1/events/tickets', () => [token()]],
    ['GET /api/v1/quota', () => [token()]],
    ['GET /api/v1/quota', () => []],
    ['OPTIONS /api/v1/quota', () => []],
    ['GET /healthz', () => []],
    ['POST /healthz', () => []],
    ['GET /readyz', () => []],
    ['GET /openapi.json', () => []],
    ['GET /', () => []],
    ['PUT /no-such-route', () => []],
    ['PUT /No//such', () => []],
    ['OPTIONS *', () => []],
    ['OPTIONS /files', () => []],
    ['POST /files', () => [...tus, 'Upload-Length: 100000']],
    ['POST /files', () => ['Authorization: Bearer a.b.c', ...tus, 'Upload-Length: 100000']],
    ['PATCH /files/AbCdEfGhIjKlMnOpQrStUv', () => tus],
    ['PATCH /files/AbCdEfGhIjKlMnOpQrStUv', () => [token(), ...tus]],
    ['DELETE /files/AbCdEfGhIjKlMnOpQrStUv', () => [token(), ...tus]],
    ['HEAD /files/AbCdEfGhIjKlMnOpQrStUv', () => [token(), ...tus]],
    ['POST /files/AbCdEfGhIjKlMnOpQrStUv', () => [token(), 'X-HTTP-Method-Override: DELETE', ...tus]],
    ['POST /files/AbCdEfGhIjKlMnOpQrStUv', () => ['X-HTTP-Method-Override: PATCH', ...tus]],
  ])('is closed in time when it sends a body to %s', async (line, headers) => {
    const framings = ['Content-Length: 1000000', 'Transfer-Encoding: chunked']
    await Promise.all(
      [...framings, `${framings[0]}\r\nExpect: 100-continue`].map(async (framing) => {
        const connection = await open()
        connection.socket.write(request(line, ...headers(), framing))
        dribble(connection, framing === framings[1] ? '1\r\nx\r\n' : 'x', DRIBBLE_MS)
        expect(await connection.closed).toBeLessThan(CLOSED_WITHIN_MS)
        expect(connection.received()).toMatch(/^HTTP\/1\.1 (100 Continue\r\n\r\nHTTP\/1\.1 )?[2-4]\d\d /)
      }),
    )
  })

  it('is told why, where there is nothing to answer without the body', async () => {
    const connection = await open()
    connection.socket.write(
      request(
        'POST /dev/token',
        `X-Dev-Code: ${landfall.devCode}`,
        'Content-Type: application/json',
        'Content-Length: 100',
      ),
    )
    dribble(connection, ' ', DRIBBLE_MS)
    await connection.closed
    expect(connection.received()).toMatch(/^HTTP\/1\.1 408 /)
    expect(connection.received()).toContain('"code":"request-timeout"')
  })

  it.each<[string, string]>([
    ['nothing', ''],
    ['the beginning of a request', 'GET /healthz HTT'],
    ['headers without end', request('GET /healthz', 'X: ').slice(0, -6)],
    ['nothing but line breaks', '\r\n'],
  ])('is closed in time when it sends %s', async (_what, beginning) => {
    const connection = await open()
    connection.socket.write(beginning)
    if (beginning !== '') dribble(connection, beginning.endsWith('\n') ? '\r\n' : 'x', DRIBBLE_MS)
    expect(await connection.closed).toBeLessThan(CLOSED_WITHIN_MS)
  })

  it.each<[string, string]>([
    ['is silent', ''],
    ['sends line breaks', '\r\n'],
    ['sends the beginning of another', 'G'],
  ])('is closed in time when it has had an answer and %s', async (_what, text) => {
    const connection = await open()
    connection.socket.write(request('GET /healthz'))
    await once(connection.socket, 'data')
    if (text !== '') dribble(connection, text, DRIBBLE_MS)
    expect(await connection.closed).toBeLessThan(CLOSED_WITHIN_MS)
  })

  it('is closed in time when it reads no answers', async () => {
    const connection = await open()
    connection.socket.pause()
    // So many that no buffer of the system takes them.
    for (let i = 0; i < 3_000; i++) connection.socket.write(request('GET /openapi.json'))
    dribble(connection, '\r\n', DRIBBLE_MS)
    expect(await connection.closed).toBeLessThan(CLOSED_WITHIN_MS)
  })

  it('stays for as many requests as it brings', async () => {
    const connection = await open()
    for (let i = 1; i <= 6; i++) {
      connection.socket.write(request('GET /healthz'))
      await expect.poll(() => connection.received().split('HTTP/1.1 200').length - 1).toBe(i)
      await slowly(DEADLINES.idleMs / 3)
    }
    expect(connection.socket.destroyed).toBe(false)
  })

  it('is an upload as long as its sender is known, and may take as long as it takes', async () => {
    const connection = await open()
    connection.socket.write(request(`PATCH /files/${id}`, token(), ...tus, 'Content-Length: 100000'))
    dribble(connection, 'x', 20)
    await nothingFor(2 * (DEADLINES.answerMs + DEADLINES.headersMs))
    expect([connection.socket.destroyed, connection.received()]).toEqual([false, ''])
    connection.socket.destroy()
    const { headers } = await head(landfall, 'alice', id)
    expect(Number(headers.get('Upload-Offset'))).toBeGreaterThan(20)
  })

  it('may be an event stream of somebody who is known', async () => {
    const connection = await open()
    connection.socket.write(request('GET /api/v1/events', token()))
    await nothingFor(2 * (DEADLINES.answerMs + DEADLINES.headersMs))
    expect(connection.socket.destroyed).toBe(false)
    expect(connection.received()).toMatch(/^HTTP\/1\.1 200 /)
  })

  it('holds no more headers than its request needs', async () => {
    const headers = (bytes: number) => `X-Any: ${'x'.repeat(bytes)}`
    const close = 'Connection: close'
    for (const line of ['GET /healthz', 'GET /', 'GET /api/v1/quota', `HEAD /files/${id}`, 'POST /files2']) {
      const answer = await exchange(landfall, request(line, token(), headers(17_000), close))
      expect(answer).toMatch(/^HTTP\/1\.1 431 /)
      if (!line.startsWith('HEAD')) expect(answer).toContain('"code":"headers-too-large"')
    }
    expect(await exchange(landfall, request('GET /healthz', headers(15_000), close))).toMatch(/ 200 /)
    for (const path of ['/files', '/files/', '/files?x']) {
      const creation = ['Tus-Resumable: 1.0.0', 'Upload-Length: 5000', headers(60_000), close]
      expect(await exchange(landfall, request(`POST ${path}`, token(), ...creation))).toMatch(/ 201 /)
    }
  })

  it('is no way to the metrics where they have a port of their own', async () => {
    expect((await fetch(`${landfall.url}/metrics`)).status).toBe(404)
    const { paths } = (await (await fetch(`${landfall.url}/openapi.json`)).json()) as { paths: object }
    expect(Object.keys(paths)).not.toContain('/metrics')
    const metrics = { url: landfall.metricsUrl ?? '' }
    const { families } = parseFigures(await (await fetch(`${metrics.url}/metrics`)).text())
    expect(families).toContain('landfall_http_requests_total')
    for (const path of ['/', '/healthz', '/METRICS', '/metrics/', '/api/v1/quota', '/files']) {
      const answer = await fetch(metrics.url + path)
      expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([404, 'not-found'])
    }
    expect(await exchange(metrics, request('POST /metrics', 'Connection: close'))).toMatch(/ 405 /)
  })
})

describe('more connections than MAX_CONNECTIONS', () => {
  it('are closed at once, counted, and make room by those that wait for nothing', async () => {
    const landfall = await startLandfall({
      withoutWorker: true,
      env: { METRICS_PORT: '0', MAX_CONNECTIONS: '3' },
    })
    onTestFinished(() => landfall.close())
    const figure = async (name: string) =>
      parseFigures(await (await fetch(`${landfall.metricsUrl}/metrics`)).text()).samples.get(name)
    const kept = await Promise.all([1, 2, 3].map(() => openConnection(landfall)))
    onTestFinished(() => {
      for (const { socket } of kept) socket.destroy()
    })
    expect(await figure('landfall_connections')).toBe(3)

    const refused = await openConnection(landfall)
    await refused.closed
    expect(refused.received()).toBe('')
    expect(await figure('landfall_connections_refused_total')).toBe(1)
    // None of them waits for nothing: each may be about to send its request.
    expect(await figure('landfall_connections')).toBe(3)

    for (const { socket } of kept) socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
    await Promise.all(kept.map(({ socket }) => once(socket, 'data')))
    await beyond(1_000)
    await (await openConnection(landfall)).closed
    await Promise.all(kept.map(({ closed }) => closed))
    expect((await fetch(`${landfall.url}/healthz`)).status).toBe(200)
  })
})
