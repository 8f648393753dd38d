import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { jpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { allEvents, stateChanges } from './support/event-log.ts'
import { readEvents, type StreamEvent } from './support/event-reader.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { slowly } from './support/pauses.ts'
import { openPatch } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { statusOf, type UploadStatus } from './support/status.ts'
import { createId, patch, terminate } from './support/tus.ts'
import { outcome, sendFile } from './support/uploads.ts'

const SIZE = 200_000

/** A PATCH as over a slow line: twenty pieces a second, three seconds long. */
async function sendSlowly(landfall: Landfall, sub: string, id: string): Promise<void> {
  const PIECES = 60
  const open = openPatch(landfall, sub, id, { offset: 0, headers: { 'Content-Length': String(SIZE) } })
  const bytes = asJpeg(Buffer.alloc(SIZE, 'x'))
  for (let piece = 0; piece < PIECES; piece++) {
    await open.send(bytes.subarray((SIZE * piece) / PIECES, (SIZE * (piece + 1)) / PIECES))
    await slowly(50)
  }
  open.end()
  if ((await open.answer).status !== 204) throw new Error('the slow PATCH was refused')
}

const isState = ({ event }: StreamEvent) => event === 'state'
const isProgress = ({ event }: StreamEvent) => event === 'progress'
const typesOf = (events: StreamEvent[]): string[] => events.filter(isState).map(({ data }) => data.type)

describe('the events of an upload', () => {
  let here: Landfall
  let there: Landfall

  beforeAll(async () => {
    here = await startLandfall({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '1000' } })
    const { connectionString, dataDirectory } = here
    there = await startLandfall({ withoutWorker: true, connectionString, dataDirectory })
  })
  afterAll(async () => {
    await there?.close()
    await here?.close()
  })

  /** The stream up to the first event of this type, each event with the moment it came. */
  async function readUntil(node: Landfall, id: string, type: string) {
    const events: (StreamEvent & { at: number })[] = []
    for await (const event of readEvents(node, 'alice', id)) {
      events.push({ ...event, at: performance.now() })
      if (event.data.type === type) return events
    }
    throw new Error(`the stream ended without ${type}`)
  }

  it.each([
    ['the same node', () => here],
    ['another node', () => there],
  ])(
    'tell progress twice a second at most, read from %s, and 100 %% before it is received',
    async (...args) => {
      const node = args[1]()
      const id = await createId(here, 'alice', { size: SIZE })
      const reading = readUntil(node, id, 'upload.received')
      await sendSlowly(here, 'alice', id)
      const events = await reading

      expect(typesOf(events)).toEqual(['upload.created', 'upload.received'])
      const progress = events.filter(isProgress)
      const seconds = ((progress.at(-1)?.at ?? 0) - (progress.at(0)?.at ?? 0)) / 1000
      // The first comes at once, the last as soon as all is there. Rounded, for the moments are those of
      // arrival here and not of sending there.
      expect(progress.length).toBeLessThanOrEqual(Math.round(seconds * 2) + 2)
      const underway = progress.filter(({ data }) => data.percent > 0 && data.percent < 100)
      expect(underway.length).toBeGreaterThanOrEqual(3)
      expect(underway.some(({ data }) => data.bytesPerSecond > 0 && data.etaSeconds > 0)).toBe(true)

      const offsets = progress.map(({ data }) => data.offset)
      expect(offsets).toEqual(offsets.toSorted((a, b) => a - b))
      expect(events.at(-2)).toMatchObject({ event: 'progress', data: { uploadId: id, percent: 100 } })
    },
  )

  it('tell a stranger nothing, as if there were no such upload', async () => {
    const id = await createId(here, 'alice', { size: SIZE })
    for (const path of [`/api/v1/uploads/${id}`, `/api/v1/uploads/${id}/events`]) {
      const strangers = await here.as('mallory')(path)
      expect(strangers.status).toBe(404)
      expect(await strangers.json()).toMatchObject({ code: 'not-found' })
      expect((await here.as('alice')(path.replace(id, 'A'.repeat(22)))).status).toBe(404)
      expect((await fetch(here.url + path)).status).toBe(401)
    }
  })

  it('end when the upload is terminated, which a reader on another node hears', async () => {
    const id = await createId(here, 'alice', { size: SIZE })
    const reading = readUntil(there, id, 'upload.terminated')
    await terminate(here, 'alice', id)
    expect(typesOf(await reading)).toEqual(['upload.created', 'upload.terminated'])
    expect(typesOf(await allEvents(here, 'alice', id))).toEqual(['upload.created', 'upload.terminated'])
  })

  it('end where what has happened is pruned, for a reader that begins and for one that comes back', async () => {
    const id = await createId(here, 'alice', { size: SIZE })
    await terminate(here, 'alice', id)
    const path = `/api/v1/uploads/${id}/events`
    await here.db.deleteFrom('landfall.events').where('upload_id', '=', id).execute()
    for (const lastEventId of [undefined, '1', '1000000000']) {
      const headers = new Headers(lastEventId === undefined ? [] : [['Last-Event-ID', lastEventId]])
      expect((await here.as('alice')(path, { headers })).status).toBe(204)
    }
  })

  it('end after the last that is left of an upload whose end is pruned', async () => {
    const id = await createId(here, 'alice', { size: SIZE })
    await patch(here, 'alice', id, { offset: 0, body: asJpeg(Buffer.alloc(SIZE, 'x')) })
    await here.db
      .updateTable('landfall.media')
      .set({ status: 'ready', ready_at: new Date() })
      .where('upload_id', '=', id)
      .execute()
    expect(typesOf(await allEvents(here, 'alice', id))).toEqual(['upload.created', 'upload.received'])
    const [last] = await here.db
      .selectFrom('landfall.events')
      .select('id')
      .where('upload_id', '=', id)
      .orderBy('id', 'desc')
      .execute()
    const headers = { 'Last-Event-ID': String(last?.id) }
    expect((await here.as('alice')(`/api/v1/uploads/${id}/events`, { headers })).status).toBe(204)
  })

  it.each(['abc', '-1', '1e3', '9'.repeat(20)])('refuse a Last-Event-ID of "%s"', async (lastEventId) => {
    const id = await createId(here, 'alice', { size: SIZE })
    const answer = await here.as('alice')(`/api/v1/uploads/${id}/events`, {
      headers: { 'Last-Event-ID': lastEventId },
    })
    expect([answer.status, await answer.json()]).toEqual([
      400,
      expect.objectContaining({ code: 'invalid-header' }),
    ])
  })

  it('are also there to be asked for: percent, speed and time left while a slow PATCH runs', async () => {
    const id = await createId(here, 'alice', { size: SIZE })
    const sending = sendSlowly(here, 'alice', id)
    for (const node of [here, there]) {
      let status: UploadStatus | undefined
      await expect
        .poll(
          async () => {
            status = await statusOf(node, 'alice', id)
            return status.etaSeconds
          },
          { interval: 50 },
        )
        .toBeGreaterThan(0)
      expect(status).toMatchObject({ id, state: 'open', size: SIZE, mediaId: null })
      expect(status?.percent).toBeGreaterThan(0)
      expect(status?.percent).toBeLessThan(100)
      // About 67 kB a second; a busy machine may be slower.
      expect(status?.bytesPerSecond).toBeGreaterThan(5_000)
      expect(status?.bytesPerSecond).toBeLessThan(500_000)
    }
    await sending
    expect(await statusOf(there, 'alice', id)).toMatchObject({
      state: 'received',
      offset: SIZE,
      percent: 100,
      etaSeconds: 0,
    })
  })
})

const isEquipped = requires('ffmpeg').met && requires('clamd').met

describe.skipIf(!isEquipped)('events read again', () => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall()
  })
  afterAll(() => landfall?.close())

  const ALL = ['upload.created', 'upload.received', 'media.ready']
  const reconnect = (id: string, lastEventId: string) =>
    landfall.as('alice')(`/api/v1/uploads/${id}/events`, { headers: { 'Last-Event-ID': lastEventId } })

  it('go on after the last one seen, without loss or repeats, and are over after the end', async () => {
    const { uploadId } = await sendFile(landfall, 'alice', await jpeg({ width: 1600, height: 900 }))
    await outcome(landfall, 'alice', uploadId)
    const events = (await allEvents(landfall, 'alice', uploadId)).filter(isState)
    expect(events.map(({ data }) => data.type)).toEqual(ALL)
    const ids = events.map(({ id }) => id ?? '')
    expect(ids.map(Number)).toEqual(ids.map(Number).toSorted((a, b) => a - b))
    for (const [index, lastEventId] of ids.slice(0, -1).entries()) {
      const rest = await allEvents(landfall, 'alice', uploadId, { lastEventId })
      expect(rest.filter(isState).map(({ id }) => id)).toEqual(ids.slice(index + 1))
    }
    const over = await reconnect(uploadId, ids.at(-1) ?? '')
    expect([over.status, await over.text()]).toEqual([204, ''])
  })

  it('after a broken connection are those that happened meanwhile', async () => {
    const file = await jpeg({ width: 1600, height: 900 })
    const id = await createId(landfall, 'alice', { size: file.size })
    let lastEventId: string | undefined
    for await (const event of readEvents(landfall, 'alice', id)) {
      lastEventId = event.id
      if (event.data.type === 'upload.created') break
    }
    await patch(landfall, 'alice', id, { offset: 0, body: await readFile(file.path) })
    await outcome(landfall, 'alice', id)
    const rest = await allEvents(landfall, 'alice', id, { lastEventId })
    expect(typesOf(rest)).toEqual(ALL.slice(1))
  })

  it('are the same for everyone who joins at any moment', async () => {
    const file = await jpeg({ width: 1600, height: 900 })
    const bytes = await readFile(file.path)
    const id = await createId(landfall, 'alice', { size: file.size })
    const readers = [stateChanges(landfall, 'alice', id)]
    for (let offset = 0; offset < bytes.length; offset += 50_000) {
      await patch(landfall, 'alice', id, { offset, body: bytes.subarray(offset, offset + 50_000) })
      readers.push(stateChanges(landfall, 'alice', id))
    }
    const first = await readers[0]
    for (const changes of await Promise.all(readers)) expect(changes).toEqual(first)
    expect(first?.map(({ type }) => type)).toEqual(ALL)
  })
})
