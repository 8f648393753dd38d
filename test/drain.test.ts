import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Landfall, type StorageKind, startLandfall } from './support/landfall.ts'
import { slowly } from './support/pauses.ts'
import { OFFSET_STREAM, tusHeaders } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { statusOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { createId } from './support/tus.ts'

const MB = 1024 * 1024
/** More than any buffer on the way holds. */
const LONG_BYTES = 32 * MB
const UPLOAD_BYTES = 5000
/** How long a client that was refused may go on sending, and how late a busy machine may notice. */
const LINGER_SECONDS = { atLeast: 3, atMost: 9 }

type Refused = [why: string, status: number, headers: Record<string, string>]

const refused: Refused[] = [
  ['no token', 401, { Authorization: '' }],
  ['a wrong token', 401, { Authorization: 'Bearer e30.e30.e30' }],
  ['another version of tus', 412, { 'Tus-Resumable': '0.2.2' }],
  ['more bytes than there is room for', 413, {}],
  ['another content type', 415, { 'Content-Type': 'video/mp4' }],
  ['another offset', 409, { 'Upload-Offset': '17' }],
]

/** What is refused before any storage has heard of it is looked at once. */
const refusedWith = (storage: StorageKind): Refused[] =>
  storage === 'disk' ? refused : refused.filter(([, status]) => status === 413)

const framings = [
  ['Content-Length', { 'Content-Length': String(LONG_BYTES) }],
  ['Transfer-Encoding: chunked', { 'Transfer-Encoding': 'chunked' }],
] as const

describeStorages('a client that is refused while it sends a long body', (storage) => {
  let landfall: Landfall
  const sockets: Socket[] = []

  beforeAll(async () => {
    landfall = await startLandfall({ storage, withoutWorker: true, env: { UPLOAD_MAX_OPEN: '1000' } })
  })
  afterAll(() => landfall?.close())
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy()
  })

  /** A connection on which the head of a PATCH has been sent. */
  async function beginPatch(id: string, headers: Record<string, string>): Promise<Socket> {
    const { hostname, port } = new URL(landfall.url)
    const socket = connect(Number(port), hostname)
    sockets.push(socket)
    socket.on('error', () => {
      // Whether the connection breaks is what the test looks at.
    })
    await once(socket, 'connect')
    const all = tusHeaders(landfall, 'alice', {
      Host: hostname,
      'Upload-Offset': '0',
      'Content-Type': OFFSET_STREAM,
      ...headers,
    })
    const lines = Object.entries(all).flatMap(([name, value]) => (value === '' ? [] : [`${name}: ${value}`]))
    socket.write([`PATCH /files/${id} HTTP/1.1`, ...lines, '', ''].join('\r\n'))
    return socket
  }

  describe.each(framings)('with %s', (_name, framing) => {
    it.each(refusedWith(storage))(
      'for %s reads its answer, %i, when it has sent everything',
      async (_why, status, wrong) => {
        const id = await createId(landfall, 'alice', { size: UPLOAD_BYTES })
        const socket = await beginPatch(id, { ...framing, ...wrong })
        const isChunked = 'Transfer-Encoding' in framing
        for (let sent = 0; sent < LONG_BYTES; sent += MB) await send(socket, isChunked, MB)
        if (isChunked) socket.write('0\r\n\r\n')
        expect(await firstLine(socket)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
        // Of a body in chunks that is too long the bytes up to the length count.
        const state = status === 413 && isChunked ? 'received' : 'open'
        expect(await statusOf(landfall, 'alice', id)).toMatchObject({ state })
      },
    )
  })

  it('is cut off a few seconds later when it never stops', async () => {
    const outcomes = refusedWith(storage).map(async ([why, , headers]) => {
      const id = await createId(landfall, 'alice', { size: UPLOAD_BYTES })
      const socket = await beginPatch(id, { 'Transfer-Encoding': 'chunked', ...headers })
      const sending = sendForEver(socket)
      const answer = await firstLine(socket)
      const refusedAt = performance.now()
      await sending
      return { why, answer, seconds: (performance.now() - refusedAt) / 1000 }
    })
    for (const [index, { why, answer, seconds }] of (await Promise.all(outcomes)).entries()) {
      expect(answer, why).toContain(` ${refusedWith(storage)[index]?.[1]} `)
      expect(seconds, why).toBeGreaterThan(LINGER_SECONDS.atLeast)
      expect(seconds, why).toBeLessThan(LINGER_SECONDS.atMost)
    }
  }, 30_000)
})

/** Sends some of the body; resolves when there is room for more. Fails when the connection ends before. */
async function send(socket: Socket, isChunked: boolean, bytes: number): Promise<void> {
  if (isChunked) socket.write(`${bytes.toString(16)}\r\n`)
  const hasRoom = socket.write(asJpeg(Buffer.alloc(bytes, 'x')))
  const isFull = isChunked ? !socket.write('\r\n') || !hasRoom : !hasRoom
  if (socket.destroyed) throw new Error('the connection was cut')
  if (!isFull) return
  const closed = new AbortController()
  const cut = once(socket, 'close', { signal: closed.signal }).then(() => {
    throw new Error('the connection was cut')
  })
  try {
    await Promise.race([once(socket, 'drain', { signal: closed.signal }), cut])
  } finally {
    closed.abort()
  }
}

/** Twenty times a second, until the other side has had enough. */
async function sendForEver(socket: Socket): Promise<void> {
  while (!socket.destroyed) {
    await send(socket, true, 20_000).catch(() => socket.destroy())
    await slowly(50)
  }
}

/** Reads from now on, and not before; nothing of the answer may be lost. */
async function firstLine(socket: Socket): Promise<string> {
  let text = ''
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  socket.once('close', () => reject(new Error(`the connection ended after ${JSON.stringify(text)}`)))
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part
    if (text.includes('\r\n')) resolve(text.slice(0, text.indexOf('\r\n')))
  })
  return await promise
}
