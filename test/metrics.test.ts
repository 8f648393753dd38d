import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newUploadId } from '../ledger/ids.ts'
import { jpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { asctime, fakeClamd } from './support/fake-clamd.ts'
import { freshDatabase, type Landfall, startLandfall } from './support/landfall.ts'
import { type Figures, parseFigures } from './support/prometheus.ts'
import { openPatch } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { untilReceived } from './support/status.ts'
import { startTcpProxy } from './support/tcp-proxy.ts'
import { createId, patch } from './support/tus.ts'
import * as uploads from './support/uploads.ts'
import { openSocket } from './support/websocket.ts'

const DAY_MS = 86_400_000
/** What Prometheus waits is ten seconds; what a collector may take is two. */
const IN_TIME_MS = 3_000

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')

/** What the server says without a token, which has to be well-formed and to come in time. */
async function scrape({ url }: Pick<Landfall, 'url'>): Promise<Figures> {
  const response = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(IN_TIME_MS) })
  expect(response.status).toBe(200)
  expect(response.headers.get('Content-Type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  expect(response.headers.get('Cache-Control')).toBe('no-store')
  return parseFigures(await response.text())
}

const sampleOf = async (landfall: Landfall, series: string) => (await scrape(landfall)).samples.get(series)

/** A request is counted when its answer is sent, which its client may know a moment earlier. */
const expectSample = (landfall: Landfall, series: string) =>
  expect.poll(() => sampleOf(landfall, series), { timeout: 15_000 })

const requestsOf = (method: string, route: string, status: string) =>
  `landfall_http_requests_total{method="${method}",route="${route}",status="${status}"}`

describe('/metrics', () => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '1000' } })
  })
  afterAll(() => landfall?.close())

  it('has every series from the beginning, whatever has happened', async () => {
    const { families, samples } = await scrape(landfall)
    expect(families).toEqual(
      expect.arrayContaining([
        'process_cpu_seconds_total',
        'nodejs_eventloop_lag_seconds',
        'landfall_http_requests_total',
        'landfall_http_request_duration_seconds',
        'landfall_step_mean_seconds',
        'landfall_queue_jobs',
      ]),
    )
    for (const outcome of ['received', 'terminated', 'expired', 'rejected'])
      expect(samples.get(`landfall_uploads_total{outcome="${outcome}"}`)).toBe(0)
    for (const outcome of ['ready', 'rejected', 'failed'])
      expect(samples.get(`landfall_media_total{outcome="${outcome}"}`)).toBe(0)
    for (const name of [
      'media_processing',
      'media_failed',
      'media_oldest_processing_seconds',
      'processing_behind_seconds',
      'uploads_open',
    ])
      expect(samples.get(`landfall_${name}`)).toBe(0)
    for (const name of ['deliveries_pending', 'oldest_due_seconds'])
      expect(samples.get(`landfall_webhook_${name}`)).toBe(0)
    expect(samples.get('landfall_queue_jobs{queue="process-media",state="ready"}')).toBe(0)
    expect([...samples].filter(([series, value]) => /scrape_errors/.test(series) && value > 0)).toEqual([])
  })

  it('counts the bytes and the requests of an upload by any client', async () => {
    const before = (await sampleOf(landfall, 'landfall_received_bytes_total')) ?? 0
    const bytes = asJpeg(randomBytes(300_000))
    const id = await createId(landfall, 'alice', { size: bytes.length })
    for (const [from, to] of [
      [0, 100_000],
      [100_000, 300_000],
    ] as const)
      await patch(landfall, 'alice', id, { offset: from, body: bytes.subarray(from, to) })
    await expectSample(landfall, requestsOf('PATCH', '/files/:id', '2xx')).toBe(2)
    const { samples } = await scrape(landfall)
    expect(samples.get('landfall_received_bytes_total')).toBe(before + 300_000)
    expect(samples.get(requestsOf('POST', '/files', '2xx'))).toBe(1)
    const duration = 'landfall_http_request_duration_seconds'
    const labels = '{method="PATCH",route="/files/:id",status="2xx"}'
    expect(samples.get(`${duration}_count${labels}`)).toBe(2)
    expect(samples.get(`${duration}_sum${labels}`)).toBeGreaterThan(0)
  })

  it('shows bytes while they arrive, and a client that leaves as one without an answer', async () => {
    const before = (await sampleOf(landfall, 'landfall_received_bytes_total')) ?? 0
    const bytes = asJpeg(randomBytes(50_000))
    const id = await createId(landfall, 'alice', { size: 100_000 })
    const open = openPatch(landfall, 'alice', id, { offset: 0 })
    await open.send(bytes)
    await untilReceived(landfall, 'alice', id, bytes.length)
    expect(await sampleOf(landfall, 'landfall_received_bytes_total')).toBe(before + bytes.length)
    open.disconnect()
    await expectSample(landfall, requestsOf('PATCH', '/files/:id', 'none')).toBe(1)
  })

  it('counts a WebSocket when it is over', async () => {
    const id = await createId(landfall, 'alice', { size: 2000 })
    const series = requestsOf('GET', '/api/v1/uploads/:id/ws', '1xx')
    const { socket, closed } = await openSocket(landfall, 'alice', `/api/v1/uploads/${id}/ws`)
    expect(await sampleOf(landfall, series)).toBeUndefined()
    socket.close()
    await closed
    await expectSample(landfall, series).toBe(1)
  })

  it('has as many series after requests to anything as before, and nothing of what was asked for', async () => {
    const ids: string[] = []
    const askForAnything = async () => {
      const id = newUploadId()
      ids.push(id)
      for (const path of [
        `/${id}`,
        `/files/${id}`,
        `/files/${id}/${id}`,
        `/api/v1/media/${id}?${id}`,
        `/api/${id}`,
      ])
        for (const method of ['GET', 'PUT', 'PROPFIND', 'PATCH'])
          await fetch(landfall.url + path, { method, headers: { Authorization: id } })
    }
    const settled = async () => {
      const series = requestsOf('other', '/files/:id', '4xx')
      await expectSample(landfall, series).toBe(2 * ids.length)
      return [...(await scrape(landfall)).samples.keys()]
    }
    await askForAnything()
    const before = await settled()
    for (let i = 0; i < 20; i++) await askForAnything()
    const after = await settled()
    expect(after.filter((series) => series.startsWith('landfall_'))).toEqual(
      before.filter((series) => series.startsWith('landfall_')),
    )
    const text = await (await fetch(`${landfall.url}/metrics`)).text()
    for (const told of [...ids, 'alice', 'PROPFIND', landfall.dataDirectory]) expect(text).not.toContain(told)
  })

  it('is not there with METRICS=off, nor described', async () => {
    await using off = closing(await startLandfall({ withoutWorker: true, env: { METRICS: 'off' } }))
    expect((await fetch(`${off.it.url}/metrics`)).status).toBe(404)
    const document = (await (await fetch(`${off.it.url}/openapi.json`)).json()) as { paths: object }
    expect(Object.keys(document.paths)).not.toContain('/metrics')
    const bytes = asJpeg(randomBytes(5000))
    const id = await createId(off.it, 'alice', { size: bytes.length })
    expect((await patch(off.it, 'alice', id, { offset: 0, body: bytes })).status).toBe(204)
  })

  it('leaves nothing behind when the server closes', async () => {
    // Those of this process that keep it alive. Connections of fetch are not the server's.
    const alive = () =>
      process
        .getActiveResourcesInfo()
        .filter((type) => !/TCPSocket/.test(type))
        .sort()
    const before = alive()
    const other = await startLandfall({ withoutWorker: true })
    await Promise.all([scrape(other), scrape(other)])
    await other.close()
    await expect.poll(alive).toEqual(before)
  })

  it('tells the version and the age of the signatures', async () => {
    const published = new Date(Math.floor((Date.now() - 2 * DAY_MS) / 1000) * 1000)
    await using scanner = await fakeClamd(`ClamAV 1.4.3/27780/${asctime(published)}`)
    await using scanned = closing(
      await startLandfall({ withoutWorker: true, env: { CLAMD_URL: scanner.url } }),
    )
    const { samples } = await scrape(scanned.it)
    expect(samples.get('landfall_scanner_up')).toBe(1)
    expect(samples.get('landfall_scanner_signature_version')).toBe(27780)
    const age = samples.get('landfall_scanner_signature_age_seconds') ?? 0
    expect(Math.abs(age - (Date.now() - published.getTime()) / 1000)).toBeLessThan(10)
  })

  it.each([
    ['says nothing', undefined, 0],
    ['is something else', 'hello', 0],
    ['has signatures for tests only', 'ClamAV 1.4.3', 1],
  ])('tells no age of signatures where clamd %s', async (_what, version, up) => {
    await using scanner = await fakeClamd(version)
    await using scanned = closing(
      await startLandfall({ withoutWorker: true, env: { CLAMD_URL: scanner.url } }),
    )
    const { families, samples } = await scrape(scanned.it)
    expect(samples.get('landfall_scanner_up')).toBe(up)
    expect(families.filter((name) => name.startsWith('landfall_scanner_'))).toEqual(['landfall_scanner_up'])
    expect(samples.get('landfall_uploads_open')).toBe(0)
  })

  it('has no scanner where nothing is scanned', async () => {
    await using unscanned = closing(await startLandfall({ withoutWorker: true, env: { SCAN: 'off' } }))
    const { families } = await scrape(unscanned.it)
    expect(families.filter((name) => name.startsWith('landfall_scanner_'))).toEqual([])
  })

  it('answers while the database is silent, without what it would know, and counts that', async () => {
    const direct = new URL(await freshDatabase())
    await using proxy = closing(await startTcpProxy(direct.href))
    const connectionString = Object.assign(new URL(direct), { port: new URL(proxy.it.url).port }).href
    await using cut = closing(await startLandfall({ withoutWorker: true, connectionString }))
    proxy.it.holdAfter(0)
    const { families, samples } = await scrape(cut.it)
    for (const collector of ['uploads', 'outcomes', 'processing', 'steps', 'webhooks', 'queues'])
      expect(samples.get(`landfall_scrape_errors_total{collector="${collector}"}`)).toBe(1)
    expect(families.filter((name) => /^landfall_(uploads|media|step|webhook|queue)/.test(name))).toEqual([])
    expect(samples.get('process_cpu_seconds_total')).toBeGreaterThan(0)
    proxy.it.release()
  })
})

describe.skipIf(!ffmpeg.met || !clamd.met)('/metrics of a server with a worker', () => {
  it('tells how long the steps of a file took, and what the worker counts in the queues', async () => {
    await using landfall = closing(await startLandfall())
    await uploads.process(landfall.it, 'alice', await jpeg({ width: 1600, height: 900 }))
    await expectSample(landfall.it, 'landfall_step_attempts{step="publish",outcome="done"}').toBe(1)
    const { samples } = await scrape(landfall.it)
    const mean = samples.get('landfall_step_mean_seconds{step="identify",outcome="done"}') ?? Number.NaN
    expect(mean).toBeGreaterThan(0)
    expect(samples.get('landfall_step_max_seconds{step="identify",outcome="done"}')).toBe(mean)
    expect(samples.get('landfall_scanner_up')).toBe(1)
    // A scrape counts them anew where nobody has for an hour; sooner only a worker does.
    await sql`update pgboss.queue set monitor_on = now() - interval '30 minutes'`.execute(landfall.it.db)
    await expectSample(landfall.it, 'landfall_queue_counted_seconds{queue="process-media"}').toBeLessThan(30)
  })
})

const closing = <Closed extends { close(): Promise<void> }>(it: Closed) => ({
  it,
  [Symbol.asyncDispose]: () => it.close(),
})
