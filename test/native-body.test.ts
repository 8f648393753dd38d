import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { Agent, createServer, type IncomingMessage, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { BodyIdle, Interrupted } from '../server/uploads/outcomes.ts'
import { requestBody } from '../server/uploads/request-body.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { nothingFor, slowly } from './support/pauses.ts'
import { answerOf, OFFSET_STREAM, problemOf, tusHeaders } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { NOTHING_USED, quotaOf, statusOf, untilReceived } from './support/status.ts'
import { create, createId, head, idOf, patch } from './support/tus.ts'

const MB = 1024 * 1024
const CHUNKED = { 'Transfer-Encoding': 'chunked' }

describe('the body of a request', () => {
  let server: Server
  let requests: IncomingMessage[]
  /** What the next request's body is read with. */
  let read: (request: IncomingMessage) => Promise<unknown>
  let outcomes: unknown[]
  /** Bytes that `readAll` has read of all of them. */
  let bytesRead: number

  beforeEach(async () => {
    requests = []
    outcomes = []
    bytesRead = 0
    server = createServer((incoming, response) => {
      requests.push(incoming)
      read(incoming)
        .catch((error: unknown) => error)
        .then((outcome) => {
          outcomes.push(outcome)
          response.end('done')
        })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  afterEach(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })

  const never = new AbortController().signal

  function post(headers: Record<string, string>, agent: Agent | false = false) {
    const { port } = server.address() as AddressInfo
    const sent = request({ port, method: 'POST', agent, headers })
    const answer = answerOf(sent)
    // Whether there is one, is the test's to look at.
    answer.catch(() => {})
    return { sent, answer }
  }
  const arrived = async () => {
    await expect.poll(() => requests.length).toBe(1)
    return requests[0] as IncomingMessage
  }
  /** The request, when so much of its body has been read. */
  const readOf = async (bytes: number) => {
    await expect.poll(() => bytesRead).toBe(bytes)
    return await arrived()
  }
  const outcome = async () => {
    await expect.poll(() => outcomes.length).toBe(1)
    return outcomes[0]
  }

  /** Reads to the end; what came before a failure counts. */
  async function readAll(incoming: IncomingMessage, maxBytes = MB, signal = never) {
    const chunks: Buffer[] = []
    let failure: unknown
    try {
      for await (const chunk of requestBody(incoming, { maxBytes, signal })) {
        chunks.push(chunk)
        bytesRead += chunk.length
      }
    } catch (error) {
      failure = error
    }
    return { bytes: Buffer.concat(chunks), failure }
  }

  const EVENTS = ['data', 'readable', 'end', 'error', 'close', 'aborted', 'pause', 'resume']
  const listeners = (incoming: IncomingMessage) => EVENTS.map((name) => incoming.listenerCount(name))

  it.each([
    ['Content-Length', (bytes: Buffer) => ({ 'Content-Length': String(bytes.length) })],
    ['chunks', () => CHUNKED],
  ])('is all that was sent, by %s', async (_how, headersOf) => {
    read = readAll
    const bytes = randomBytes(700_000)
    const { sent, answer } = post(headersOf(bytes))
    sent.end(bytes)
    await answer
    const { bytes: received, failure } = (await outcome()) as Awaited<ReturnType<typeof readAll>>
    expect(failure).toBeUndefined()
    expect(received.equals(bytes)).toBe(true)
  })

  it('may be empty', async () => {
    read = readAll
    const { sent, answer } = post({})
    sent.end()
    await answer
    expect(await outcome()).toEqual({ bytes: Buffer.alloc(0), failure: undefined })
  })

  it('may have exactly as many bytes as allowed, and with one more it is a 413', async () => {
    read = (incoming) => readAll(incoming, 1000)
    for (const bytes of [1000, 1001]) {
      const { sent, answer } = post({ 'Content-Length': String(bytes) })
      sent.end(Buffer.alloc(bytes))
      await answer
    }
    expect(outcomes).toMatchObject([
      { bytes: { length: 1000 }, failure: undefined },
      { bytes: { length: 1000 }, failure: { name: 'BodyTooLong' } },
    ])
  })

  it('is idle where nothing comes for too long, and not while its reader is busy', async () => {
    const idleMs = 300
    read = async (incoming) => {
      const chunks: Buffer[] = []
      const limits = { maxBytes: MB, signal: never }
      try {
        for await (const chunk of requestBody(incoming, limits, { countBytes: () => {}, idleMs })) {
          chunks.push(chunk)
          await slowly(2 * idleMs)
        }
      } catch (failure) {
        return { bytes: Buffer.concat(chunks).length, failure }
      }
      return undefined
    }
    const { sent } = post(CHUNKED)
    sent.write(Buffer.alloc(10))
    const startedAt = performance.now()
    expect(await outcome()).toEqual({ bytes: 10, failure: expect.any(BodyIdle) })
    expect(performance.now() - startedAt).toBeGreaterThan(2.9 * idleMs)
    sent.destroy()
  })

  it('that is too long comes as far as it was allowed, and the rest is there to be read by others', async () => {
    read = async (incoming) => {
      const limited = await readAll(incoming, 1500)
      const isDestroyed = incoming.destroyed
      let rest = 0
      for await (const chunk of incoming) rest += chunk.length
      return { limited, isDestroyed, rest }
    }
    const { sent, answer } = post(CHUNKED)
    sent.write(Buffer.alloc(1000))
    await readOf(1000)
    sent.write(Buffer.alloc(1000))
    sent.end(Buffer.alloc(3000))
    expect((await answer).body).toBe('done')
    expect(await outcome()).toMatchObject({
      limited: { bytes: { length: 1500 }, failure: { name: 'BodyTooLong' } },
      isDestroyed: false,
      rest: expect.toSatisfy((bytes: number) => bytes <= 3000),
    })
  })

  it('breaks off where the client goes away', async () => {
    read = readAll
    const { sent } = post({ 'Content-Length': '5000' })
    sent.write(Buffer.alloc(1234))
    await readOf(1234)
    sent.destroy()
    expect(await outcome()).toEqual({ bytes: Buffer.alloc(1234), failure: expect.any(Interrupted) })
  })

  it('is broken off when the client has gone away before it is read', async () => {
    read = async (incoming) => {
      // Not `once`, which fails where there is an error before.
      await new Promise((resolve) => incoming.on('close', resolve))
      return await readAll(incoming)
    }
    const { sent } = post({ 'Content-Length': '5000' })
    sent.write(Buffer.alloc(1234))
    await arrived()
    sent.destroy()
    expect(await outcome()).toMatchObject({ failure: expect.any(Interrupted) })
  })

  it('counts as broken off, not as ended, when the signal comes from that very break', async () => {
    const abort = new AbortController()
    read = async (incoming) => {
      incoming.once('error', () => abort.abort())
      return await readAll(incoming, MB, abort.signal)
    }
    const { sent } = post({ 'Content-Length': '5000' })
    sent.write(Buffer.alloc(1234))
    await readOf(1234)
    sent.destroy()
    expect(await outcome()).toEqual({ bytes: Buffer.alloc(1234), failure: expect.any(Interrupted) })
  })

  it('ends at a signal with what has arrived, and the client sees its answer', async () => {
    const abort = new AbortController()
    read = (incoming) => readAll(incoming, MB, abort.signal)
    const { sent, answer } = post({ 'Content-Length': '5000' })
    sent.write(Buffer.alloc(1234))
    const incoming = await readOf(1234)
    abort.abort()
    expect(await outcome()).toEqual({ bytes: Buffer.alloc(1234), failure: undefined })
    expect(incoming.destroyed).toBe(false)
    expect((await answer).body).toBe('done')
  })

  it('makes the client wait while nobody reads on', async () => {
    const goOn = Promise.withResolvers<void>()
    read = async (incoming) => {
      let bytes = 0
      for await (const chunk of requestBody(incoming, { maxBytes: 64 * MB, signal: never })) {
        await goOn.promise
        bytes += chunk.byteLength
      }
      return bytes
    }
    const { sent, answer } = post({ 'Content-Length': String(64 * MB) })
    for (let at = 0; at < 64; at++) sent.write(Buffer.alloc(MB))
    sent.end()
    const { socket } = await arrived()
    let taken = -1
    const isFull = () => {
      const before = taken
      taken = socket.bytesRead
      return taken === before
    }
    await expect.poll(isFull, { interval: 100 }).toBe(true)
    await nothingFor(300)
    expect(socket.bytesRead).toBe(taken)
    expect(taken).toBeLessThan(MB)
    goOn.resolve()
    await answer
    expect(await outcome()).toBe(64 * MB)
  })

  it('leaves a request as it found it, however it is read', async () => {
    const abort = new AbortController()
    const signalListeners = vi.spyOn(abort.signal, 'removeEventListener')
    const limits = { maxBytes: 2000, signal: abort.signal }
    read = async (incoming) => {
      const before = listeners(incoming)
      // Made and never begun.
      requestBody(incoming, limits)
      expect(listeners(incoming)).toEqual(before)
      for await (const _ of requestBody(incoming, limits)) break
      expect(listeners(incoming)).toEqual(before)
      await expect(async () => {
        for await (const _ of requestBody(incoming, limits)) throw new Error('the disk is full')
      }).rejects.toThrow('the disk is full')
      expect(listeners(incoming)).toEqual(before)
      expect((await readAll(incoming, 10, abort.signal)).failure).toMatchObject({ name: 'BodyTooLong' })
      expect(listeners(incoming)).toEqual(before)
      expect(incoming.destroyed).toBe(false)
      await readAll(incoming, MB, abort.signal)
      expect(listeners(incoming)).toEqual(before)
      expect(signalListeners.mock.calls.length).toBeGreaterThanOrEqual(4)
      return 'as it was'
    }
    const { sent, answer } = post(CHUNKED)
    for (let at = 0; at < 10; at++) {
      sent.write(Buffer.alloc(1000))
      await slowly(30)
    }
    sent.end()
    expect(await outcome()).toBe('as it was')
    await answer
  })

  it('lets the connection be used again', async () => {
    read = readAll
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const ports = new Set<number | undefined>()
    for (let count = 1; count <= 20; count++) {
      const { sent, answer } = post({ 'Content-Length': '100000' }, agent)
      sent.end(Buffer.alloc(100_000))
      await answer
      ports.add(requests.at(-1)?.socket.remotePort)
    }
    expect(outcomes.map((each) => (each as { bytes: Buffer }).bytes.length)).toEqual(Array(20).fill(100_000))
    expect(ports.size).toBe(1)
    agent.destroy()
  })
})

describe('the bytes of an upload', () => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '1000' } })
  })
  afterAll(() => landfall?.close())
  afterEach(() => vi.restoreAllMocks())

  const stored = (id: string) => readFile(join(landfall.dataDirectory, 'objects', 'uploads', id))

  /** A creation whose body the test sends. */
  function openCreation(sub: string, size: number) {
    const sent = request(`${landfall.url}/files`, {
      method: 'POST',
      agent: false,
      headers: tusHeaders(landfall, sub, {
        'Upload-Length': String(size),
        'Content-Type': OFFSET_STREAM,
        ...CHUNKED,
      }),
    })
    const answer = answerOf(sent)
    answer.catch(() => {})
    return { sent, answer }
  }
  /** The one upload that this user has open. */
  async function openUploadOf(sub: string): Promise<string> {
    const open = async () => {
      const answer = await landfall.as(sub)('/api/v1/uploads')
      return ((await answer.json()) as { items: { id: string }[] }).items
    }
    await expect.poll(async () => (await open()).length).toBe(1)
    return (await open())[0]?.id ?? ''
  }

  it('go through no web stream', async () => {
    const toWeb = vi.spyOn(Readable, 'toWeb')
    const fromWeb = vi.spyOn(Readable, 'fromWeb')
    const bytes = asJpeg(randomBytes(300_000))
    const created = await create(landfall, 'alice', { size: bytes.length, body: bytes.subarray(0, 100_000) })
    expect([created.status, created.headers.get('Upload-Offset')]).toEqual([201, '100000'])
    const id = idOf(created)
    const rest = await patch(landfall, 'alice', id, { offset: 100_000, body: bytes.subarray(100_000) })
    expect(rest.status).toBe(204)
    expect(await stored(id)).toEqual(bytes)
    expect([toWeb.mock.calls.length, fromWeb.mock.calls.length]).toEqual([0, 0])
  })

  it('may come with the creation in chunks, and more than declared are refused and not kept', async () => {
    const fitting = openCreation('fitting', 5000)
    fitting.sent.end(asJpeg(Buffer.alloc(5000)))
    const created = await fitting.answer
    expect([created.status, created.headers['upload-offset']]).toEqual([201, '5000'])

    const tooLong = openCreation('too-long', 5000)
    tooLong.sent.write(asJpeg(Buffer.alloc(5000)))
    const id = await openUploadOf('too-long')
    await untilReceived(landfall, 'too-long', id, 5000)
    tooLong.sent.write(Buffer.alloc(1))
    const refusal = await tooLong.answer
    expect([refusal.status, problemOf(refusal).code]).toEqual([413, 'too-large'])
    // Its client has not heard of the upload, so nobody could ever go on with it.
    expect(await statusOf(landfall, 'too-long', id)).toMatchObject({ state: 'terminated', mediaId: null })
    expect(await quotaOf(landfall, 'too-long')).toEqual(NOTHING_USED)
  })

  it('that came with a creation are kept when its client goes away', async () => {
    const cut = openCreation('cut', 50_000)
    cut.sent.write(asJpeg(Buffer.alloc(12_340)))
    const id = await openUploadOf('cut')
    await untilReceived(landfall, 'cut', id, 12_340)
    cut.sent.destroy()
    await expect
      .poll(async () => (await head(landfall, 'cut', id)).headers.get('Upload-Offset'))
      .toBe('12340')
  })

  it('that came with a stalled creation are another request’s to continue', async () => {
    const stalled = openCreation('stalled', 50_000)
    stalled.sent.write(asJpeg(Buffer.alloc(12_340)))
    const id = await openUploadOf('stalled')
    await untilReceived(landfall, 'stalled', id, 12_340)
    expect((await head(landfall, 'stalled', id)).headers.get('Upload-Offset')).toBe('12340')
    const answer = await stalled.answer
    expect([answer.status, answer.headers['upload-offset']]).toEqual([201, '12340'])
  })

  it('come and come on one connection, with refusals in between', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const ports = new Set<number | undefined>()
    const append = async (id: string, offset: number, body: Buffer) => {
      const sent = request(`${landfall.url}/files/${id}`, {
        method: 'PATCH',
        agent,
        headers: tusHeaders(landfall, 'alice', {
          'Upload-Offset': String(offset),
          'Content-Type': OFFSET_STREAM,
          'Content-Length': String(body.length),
        }),
      })
      sent.end(body)
      const { status } = await answerOf(sent)
      ports.add(sent.socket?.localPort)
      return status
    }
    const bytes = asJpeg(randomBytes(500_000))
    const id = await createId(landfall, 'alice', { size: bytes.length })
    for (let at = 0; at < bytes.length; at += 50_000) {
      expect(await append(id, at, bytes.subarray(at, at + 50_000))).toBe(204)
      if (at === 200_000) expect(await append('A'.repeat(22), 0, Buffer.alloc(10))).toBe(404)
    }
    expect(await stored(id)).toEqual(bytes)
    // The 404 may have closed its connection; no other may.
    expect(ports.size).toBeLessThanOrEqual(2)
    agent.destroy()
  })
})
