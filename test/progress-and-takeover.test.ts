import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { watchServer } from './support/bytes-read.ts'
import { readEvents } from './support/event-reader.ts'
import { asUploadId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import {
  appendRest,
  createIn,
  type OpenAppend,
  offsetIn,
  openAppend,
  PROTOCOLS,
  type Protocol,
} from './support/open-append.ts'
import { betweenLooks, slowly } from './support/pauses.ts'
import { openConnection } from './support/raw-connection.ts'
import { OFFSET_STREAM, tusHeaders } from './support/raw-http.ts'
import { patterned } from './support/s3-landfall.ts'
import { asMp4 } from './support/sample-bytes.ts'
import { statusOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'

const BYTES = 6_000_000
const POLL_MS = 20
const PIECES = 30
const PIECE_MS = 100
/** Well under the fifteen seconds that a holder is waited for which does not answer. */
const TAKEOVER_MS = 10_000
/** Fewer than tell what a file is, more, and more than a buffer or a block of any storage holds. */
const SENT = [500, 300_000, 5_500_000]
const IDLE_MS = 1500
const IDLE_SENT = [500, 5_500_000]

const contentOf = (seed: string) => asMp4(patterned(BYTES, seed))

describeStorages('an append that goes on for seconds', (storage) => {
  let landfall: Landfall
  beforeAll(async () => {
    landfall = await startLandfall({ storage, withoutWorker: true })
  })
  afterAll(() => landfall?.close())

  it.each(PROTOCOLS)('of %s is not disturbed by any number of looks at its progress', async (protocol) => {
    const sub = randomUUID()
    const content = contentOf(sub)
    const id = await createIn(protocol, landfall, sub, BYTES)
    const server = watchServer(landfall.url)
    let isOver = false
    const looks: number[] = []
    const look = async () => {
      for (; !isOver; await betweenLooks(POLL_MS)) looks.push((await statusOf(landfall, sub, id)).offset)
    }
    const told: number[] = []
    const listen = async () => {
      for await (const { event, data } of readEvents(landfall, sub, id)) {
        if (event === 'progress') told.push(data.offset)
        if (data.type === 'upload.received') return
      }
    }
    const watching = Promise.all([look(), listen()])
    try {
      const open = await openAppend(protocol, landfall, sub, id, { offset: 0, bytes: BYTES, isLast: true })
      for (let piece = 0; piece < PIECES; piece++) {
        await open.send(content.subarray((piece * BYTES) / PIECES, ((piece + 1) * BYTES) / PIECES))
        await slowly(PIECE_MS)
      }
      expect(await open.answered).toBe(protocol === 'tus 1.0' ? 204 : 201)
      open.destroy()
    } finally {
      isOver = true
      server.stop()
    }
    await watching
    expect(server.requests.filter(({ method }) => method !== 'GET').map(({ method }) => method)).toEqual([
      'PATCH',
    ])
    expect(looks.length).toBeGreaterThan(PIECES)
    for (const offsets of [looks, told]) {
      // It only ever goes forward, and is told while it does.
      expect(offsets).toEqual(offsets.toSorted((a, b) => a - b))
      expect(new Set(offsets.filter((offset) => offset > 0 && offset < BYTES)).size).toBeGreaterThan(2)
    }
    expect(told.at(-1)).toBe(BYTES)
    expect(await statusOf(landfall, sub, id)).toMatchObject({ state: 'received', offset: BYTES })
    expect((await landfall.stored.bytes(`uploads/${id}`)).equals(content)).toBe(true)
  })

  it.each(PROTOCOLS.flatMap((protocol) => SENT.map((sent) => [protocol, sent] as const)))(
    'of %s whose client has vanished after %i bytes is over as soon as that asks for its offset',
    async (protocol, sent) => {
      const sub = randomUUID()
      const content = contentOf(sub)
      const id = await createIn(protocol, landfall, sub, BYTES)
      const open = await vanishAfter(landfall, protocol, sub, id, content.subarray(0, sent))
      try {
        const askedAt = performance.now()
        const offset = await offsetIn(protocol, landfall, sub, id)
        expect(performance.now() - askedAt).toBeLessThan(TAKEOVER_MS)
        expect(offset).toBe(sent)
        await expectRestAccepted(landfall, protocol, sub, id, content, sent)
      } finally {
        open.destroy()
      }
    },
  )
})

describeStorages('a client that sends nothing more', (storage) => {
  let landfall: Landfall
  beforeAll(async () => {
    landfall = await startLandfall({
      storage,
      withoutWorker: true,
      env: { UPLOAD_IDLE_TIMEOUT: `${IDLE_MS}ms` },
    })
  })
  afterAll(() => landfall?.close())

  it.each(PROTOCOLS.flatMap((protocol) => IDLE_SENT.map((sent) => [protocol, sent] as const)))(
    'of %s is cut off after UPLOAD_IDLE_TIMEOUT, and each of its %i bytes is kept',
    async (protocol, sent) => {
      const sub = randomUUID()
      const content = contentOf(sub)
      const id = await createIn(protocol, landfall, sub, BYTES)
      const server = watchServer(landfall.url)
      const open = await vanishAfter(landfall, protocol, sub, id, content.subarray(0, sent))
      try {
        await server.last('PATCH').closed()
        // Nobody has asked for the upload, and nobody holds it.
        const { db } = landfall
        const row = db
          .selectFrom('landfall.uploads')
          .select(['offset', 'state'])
          .where('id', '=', asUploadId(id))
        await expect
          .poll(() => row.executeTakeFirst(), { timeout: 10_000 })
          .toEqual({ offset: sent, state: 'open' })
        const lease = db
          .selectFrom('landfall.upload_locks')
          .select('holder')
          .where('upload_id', '=', asUploadId(id))
        await expect.poll(() => lease.execute(), { timeout: 10_000 }).toEqual([])
        expect(await offsetIn(protocol, landfall, sub, id)).toBe(sent)
        await expectRestAccepted(landfall, protocol, sub, id, content, sent)
      } finally {
        server.stop()
        open.destroy()
      }
    },
  )

  it.each(PROTOCOLS)('of %s is told so before its connection is closed', async (protocol) => {
    const sub = randomUUID()
    const id = await createIn(protocol, landfall, sub, BYTES)
    const open = await openAppend(protocol, landfall, sub, id, { offset: 0, bytes: BYTES, isLast: true })
    const sentAt = performance.now()
    await open.send(contentOf(sub).subarray(0, 5000))
    expect(await open.answered).toBe(408)
    expect(performance.now() - sentAt).toBeGreaterThan(IDLE_MS * 0.9)
    expect(await offsetIn(protocol, landfall, sub, id)).toBe(5000)
    open.destroy()
  })

  it('of a creation with bytes is told where it can go on', async () => {
    const connection = await openConnection(landfall)
    const headers = tusHeaders(landfall, randomUUID(), {
      Host: 'x',
      'Upload-Length': String(BYTES),
      'Content-Type': OFFSET_STREAM,
      'Content-Length': String(BYTES),
    })
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
    connection.socket.write(['POST /files HTTP/1.1', ...lines, '', ''].join('\r\n'))
    connection.socket.write(contentOf('creation').subarray(0, 5000))
    await connection.closed
    expect(connection.received()).toMatch(/^HTTP\/1\.1 408 /)
    expect(connection.received()).toContain('"code":"request-timeout"')
    expect(connection.received()).toMatch(/\r\nLocation: \S+\/files\/[\w-]{22}\r\n/)
    expect(connection.received()).toContain('\r\nUpload-Offset: 5000\r\n')
  })

  it('is not cut off while it waits for the server: for the end of another request', async () => {
    const sub = randomUUID()
    const content = contentOf(sub)
    const id = await createIn('tus 1.0', landfall, sub, BYTES)
    // Another process holds the upload, and does not let go.
    await landfall.db
      .insertInto('landfall.upload_locks')
      .values({
        upload_id: asUploadId(id),
        holder: 'another',
        fence: randomUUID(),
        expires_at: new Date(Date.now() + 3 * IDLE_MS),
      })
      .execute()
    const bytes = 5000
    const open = await openAppend('tus 1.0', landfall, sub, id, { offset: 0, bytes, isLast: false })
    await open.send(content.subarray(0, bytes))
    expect(await open.answered).toBe(204)
    expect(await offsetIn('tus 1.0', landfall, sub, id)).toBe(bytes)
    open.destroy()
  })

  it('is not cut off as long as a byte comes now and then', async () => {
    const sub = randomUUID()
    const content = contentOf(sub)
    const id = await createIn('tus 1.0', landfall, sub, BYTES)
    const bytes = 5010
    const open = await openAppend('tus 1.0', landfall, sub, id, { offset: 0, bytes, isLast: false })
    await open.send(content.subarray(0, 5000))
    for (let at = 5000; at < bytes; at++) {
      await slowly(IDLE_MS / 3)
      await open.send(content.subarray(at, at + 1))
    }
    expect(await open.answered).toBe(204)
    expect(await offsetIn('tus 1.0', landfall, sub, id)).toBe(bytes)
    open.destroy()
  })
})

/** An append that stands still when the server has read these bytes. Its connection is open. */
async function vanishAfter(
  landfall: Landfall,
  protocol: Protocol,
  sub: string,
  id: string,
  bytes: Uint8Array,
): Promise<OpenAppend> {
  const server = watchServer(landfall.url)
  try {
    const open = await openAppend(protocol, landfall, sub, id, { offset: 0, bytes: BYTES, isLast: true })
    await open.send(bytes)
    open.vanish()
    // The first bytes of a file are held back, so that progress does not tell of them.
    await expect
      .poll(() => server.requests.at(-1)?.bytesRead(), { timeout: 10_000 })
      .toBeGreaterThan(bytes.length)
    return open
  } finally {
    server.stop()
  }
}

async function expectRestAccepted(
  landfall: Landfall,
  protocol: Protocol,
  sub: string,
  id: string,
  content: Buffer,
  offset: number,
): Promise<void> {
  const answer = await appendRest(protocol, landfall, sub, id, { offset, body: content.subarray(offset) })
  expect(answer.status).toBe(protocol === 'tus 1.0' ? 204 : 201)
  expect(await statusOf(landfall, sub, id)).toMatchObject({ state: 'received', offset: BYTES })
  expect((await landfall.stored.bytes(`uploads/${id}`)).equals(content)).toBe(true)
}
