import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { Bus } from '../ledger/bus.ts'
import { openDatabase } from '../ledger/database.ts'
import { readStream, type StreamEvent } from './support/event-reader.ts'
import { asOwnerId, asUploadId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { slowly } from './support/pauses.ts'
import { OFFSET_STREAM, rawRequest, tusHeaders } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { createId, patch, terminate } from './support/tus.ts'

const SIZE = 5000
const BYTES = asJpeg(Buffer.alloc(SIZE, 'x'))

const isState = ({ event }: StreamEvent) => event === 'state'

/** An owner's stream that is read all the time, and what it has told so far. */
class Listener {
  readonly events: StreamEvent[] = []
  readonly #stream: AsyncGenerator<StreamEvent>
  readonly #opened = Promise.withResolvers<void>()
  readonly #reading: Promise<void>

  constructor(target: Landfall, sub: string, options: { lastEventId?: string; query?: string } = {}) {
    const { lastEventId, query = '' } = options
    const headers: Record<string, string> = { Authorization: `Bearer ${target.token(sub)}` }
    if (lastEventId !== undefined) headers['Last-Event-ID'] = lastEventId
    this.#stream = readStream(`${target.url}/api/v1/events${query}`, headers, this.#opened.resolve)
    this.#reading = this.#read()
    this.#reading.catch(this.#opened.reject)
  }

  get opened(): Promise<void> {
    return this.#opened.promise
  }

  /** Ends with the stream. */
  get ended(): Promise<void> {
    return this.#reading
  }

  get states(): StreamEvent[] {
    return this.events.filter(isState)
  }

  /** What the stream told of an upload, in short. */
  of(uploadId: string): string[] {
    return this.states.filter(({ data }) => data.uploadId === uploadId).map(({ data }) => data.type)
  }

  async #read(): Promise<void> {
    for await (const event of this.#stream) this.events.push(event)
  }
}

describe('the events of an owner', () => {
  let here: Landfall
  let there: Landfall

  beforeAll(async () => {
    here = await startLandfall({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '1000' } })
    there = await startLandfall({ withoutWorker: true, beside: here, env: { UPLOAD_MAX_OPEN: '1000' } })
  })
  afterAll(async () => {
    await there?.close()
    await here?.close()
  })
  afterEach(() =>
    here.db.deleteFrom('landfall.events').where('owner_id', 'like', asOwnerId('made-up%')).execute(),
  )

  async function listen(...args: ConstructorParameters<typeof Listener>): Promise<Listener> {
    const listener = new Listener(...args)
    await listener.opened
    return listener
  }

  async function uploaded(sub: string, node = here): Promise<string> {
    const id = await createId(node, sub, { size: SIZE })
    await patch(node, sub, id, { offset: 0, body: BYTES })
    return id
  }

  it('tell of all uploads from now on, on every node, and of nobody else’s', async () => {
    const before = await uploaded('anna')
    const listeners = [await listen(here, 'anna'), await listen(there, 'anna')]
    const [mallory] = [await listen(there, 'mallory')]
    const ids = [await uploaded('anna'), await uploaded('anna', there)]
    const ended = await createId(here, 'anna', { size: SIZE })
    await terminate(there, 'anna', ended)
    const theirs = await uploaded('mallory')
    for (const listener of listeners) {
      await expect.poll(() => listener.of(ended)).toEqual(['upload.created', 'upload.terminated'])
      for (const id of ids) expect(listener.of(id)).toEqual(['upload.created', 'upload.received'])
      expect(listener.of(before)).toEqual([])
      expect(listener.states.every(({ id }) => /^\d+$/.test(id ?? ''))).toBe(true)
      const last = listener.events.findLast(
        ({ event, data }) => event === 'progress' && data.uploadId === ids[0],
      )
      expect(last?.data).toMatchObject({ offset: SIZE, percent: 100 })
    }
    await expect.poll(() => mallory?.of(theirs)).toEqual(['upload.created', 'upload.received'])
    expect(new Set(mallory?.events.map(({ data }) => data.uploadId))).toEqual(new Set([theirs]))
    for (const listener of listeners) expect(listener.of(theirs)).toEqual([])
  })

  it('tell of an upload that was created soon after, before there is a byte of it', async () => {
    const listener = await listen(there, 'bert')
    const id = await createId(here, 'bert', { size: SIZE })
    await expect.poll(() => listener.of(id)).toEqual(['upload.created'])
  })

  it('show the progress of an upload to which bytes come', async () => {
    const listener = await listen(there, 'carl')
    const id = await createId(here, 'carl', { size: SIZE })
    await patch(here, 'carl', id, { offset: 0, body: BYTES.subarray(0, 2000) })
    const progress = () => listener.events.filter(({ event }) => event === 'progress')
    await expect
      .poll(() => progress().at(-1)?.data)
      .toMatchObject({
        uploadId: id,
        offset: 2000,
        size: SIZE,
        percent: 40,
      })
  })

  it('are sent again after the last one seen, by header or by address', async () => {
    const first = await listen(here, 'dora')
    const id = await uploaded('dora')
    await expect.poll(() => first.of(id)).toEqual(['upload.created', 'upload.received'])
    const [created] = first.states
    const missed = await uploaded('dora')
    for (const options of [{ lastEventId: created?.id }, { query: `?lastEventId=${created?.id}` }]) {
      const listener = await listen(there, 'dora', options)
      await expect.poll(() => listener.of(missed)).toEqual(['upload.created', 'upload.received'])
      expect(listener.of(id)).toEqual(['upload.received'])
    }
  })

  it('wait for those whose transaction is slower, also when their reader has seen a later one', async () => {
    const ownerId = 'made-up-slow'
    const slow = openDatabase({
      connectionString: here.connectionString,
      maxConnections: 1,
      applicationName: 'test',
      onPoolError: () => {},
    })
    const bus = await Bus.open({ connectionString: here.connectionString, onError: () => {} })
    const event = (upload_id: string) => ({
      type: 'upload.created' as const,
      upload_id: asUploadId(upload_id),
      owner_id: asOwnerId(ownerId),
    })
    const listener = await listen(there, ownerId)
    const trx = await slow.startTransaction().execute()
    await trx.insertInto('landfall.events').values(event('early')).execute()
    await here.db.insertInto('landfall.events').values(event('late')).execute()
    const heard = await listen(here, ownerId, { lastEventId: '0' })
    await expect.poll(() => heard.of('late')).toEqual(['upload.created'])
    const lastEventId = heard.states[0]?.id
    await trx.commit().execute()
    // A reader that was away meanwhile, and two that were not.
    const again = await listen(there, ownerId, { lastEventId })
    await expect.poll(() => again.of('early')).toEqual(['upload.created'])
    expect(again.of('late')).toEqual([])
    // An upload that there is, so that the message leads to its owner.
    const id = await createId(here, ownerId, { size: SIZE })
    await bus.publish({ t: 'event', id })
    for (const reader of [listener, heard]) {
      await expect.poll(() => reader.of('early')).toEqual(['upload.created'])
      expect(reader.of('late')).toEqual(['upload.created'])
    }
    await bus.close()
    await slow.destroy()
  })

  it('are complete for a reader that reconnects at random while 200 uploads are finished', async () => {
    const UPLOADS = 200
    const sub = 'erna'
    let lastEventId = '0'
    let isDone = false
    const seen = new Map<string, StreamEvent>()
    const perUpload = new Map<string, string[]>()

    async function readWithBreaks(): Promise<void> {
      while (!isDone || seen.size < 2 * UPLOADS) {
        const node = Math.random() < 0.5 ? here : there
        const breakAfter = 1 + Math.floor(Math.random() * 30)
        let count = 0
        const headers = { Authorization: `Bearer ${node.token(sub)}`, 'Last-Event-ID': lastEventId }
        for await (const event of readStream(`${node.url}/api/v1/events`, headers)) {
          if (event.id === undefined) continue
          lastEventId = event.id
          if (!seen.has(event.id)) {
            seen.set(event.id, event)
            const types = perUpload.get(event.data.uploadId) ?? []
            perUpload.set(event.data.uploadId, [...types, event.data.type])
            count++
          }
          if (count >= breakAfter || seen.size === 2 * UPLOADS) break
        }
      }
    }

    const reading = readWithBreaks()
    const ids = await Promise.all(
      Array.from({ length: UPLOADS }, async (_, i) => {
        const headers = tusHeaders(here, sub, { 'Upload-Length': String(SIZE) })
        const created = await rawRequest(i % 2 ? here : there, { method: 'POST', path: '/files', headers })
        return created.headers.location?.split('/').at(-1) ?? ''
      }),
    )
    const headers = tusHeaders(here, sub, { 'Upload-Offset': '0', 'Content-Type': OFFSET_STREAM })
    const finished = ids.map((id, i) =>
      rawRequest(i % 3 ? here : there, { method: 'PATCH', path: `/files/${id}`, headers, body: BYTES }),
    )
    for (const { status } of await Promise.all(finished)) expect(status).toBe(204)
    isDone = true
    await reading
    const rows = await here.db
      .selectFrom('landfall.events')
      .select('id')
      .where('owner_id', '=', asOwnerId(sub))
      .execute()
    expect(new Set(seen.keys())).toEqual(new Set(rows.map(({ id }) => String(id))))
    for (const id of ids) expect(perUpload.get(id)).toEqual(['upload.created', 'upload.received'])
  })

  it('reach a reader that stopped reading for a while, every state change of them', async () => {
    const EVENTS = 3000
    const ownerId = 'made-up-paused'
    const { hostname, port } = new URL(here.url)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    socket.write(
      `GET /api/v1/events HTTP/1.1\r\nHost: ${hostname}\r\n` +
        `Authorization: Bearer ${here.token(ownerId)}\r\n\r\n`,
    )
    await once(socket, 'readable')
    const id = await createId(here, ownerId, { size: SIZE })
    const padding = 'x'.repeat(3000)
    for (let from = 0; from < EVENTS; from += 500) {
      const rows = Array.from({ length: 500 }, (_, i) => ({
        type: 'upload.created' as const,
        upload_id: asUploadId(`no ${from + i}`),
        owner_id: asOwnerId(ownerId),
        data: JSON.stringify({ padding }),
      }))
      await here.db.insertInto('landfall.events').values(rows).execute()
      await patch(here, ownerId, id, { offset: 0, body: new Uint8Array() })
    }
    await terminate(here, ownerId, id)
    await slowly(500)
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk) => {
      text += chunk
    })
    await expect.poll(() => text.includes('upload.terminated'), { timeout: 30_000 }).toBe(true)
    socket.destroy()
    const told = [...text.matchAll(/"uploadId":"no (\d+)"/g)].map((match) => Number(match[1]))
    expect(told).toEqual(Array.from({ length: EVENTS }, (_, i) => i))
  })

  it.each(['GET', 'HEAD'])(
    'are for those with a token, and refuse a malformed position: %s',
    async (method) => {
      expect((await rawRequest(here, { method, path: '/api/v1/events' })).status).toBe(401)
      if (method === 'HEAD') return
      for (const lastEventId of ['abc', '-1', '9'.repeat(20)]) {
        const answer = await here.as('anna')(`/api/v1/events?lastEventId=${lastEventId}`)
        expect([answer.status, await answer.json()]).toEqual([
          400,
          expect.objectContaining({ code: 'invalid-header' }),
        ])
      }
    },
  )

  it('have a HEAD that ends', async () => {
    const id = await createId(here, 'anna', { size: SIZE })
    for (const path of ['/api/v1/events', `/api/v1/uploads/${id}/events`]) {
      const answer = await here.as('anna')(path, { method: 'HEAD' })
      expect([answer.status, answer.headers.get('Content-Type')]).toEqual([
        200,
        expect.stringContaining('text/event-stream'),
      ])
    }
    expect((await here.as('mallory')(`/api/v1/uploads/${id}/events`, { method: 'HEAD' })).status).toBe(404)
  })

  it('end at once when the server stops', async () => {
    const node = await startLandfall({ withoutWorker: true, beside: here })
    const listener = await listen(node, 'anna')
    const from = performance.now()
    await Promise.all([listener.ended, node.close()])
    expect(performance.now() - from).toBeLessThan(15_000)
  })
})
