import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { slowly } from './support/pauses.ts'
import { OFFSET_STREAM, rawRequest, tusHeaders } from './support/raw-http.ts'
import { asMp4 } from './support/sample-bytes.ts'
import { createId, metadataHeader, terminate } from './support/tus.ts'

const MIB = 1024 * 1024
/** What tus-java-client sends in a request, and more than all buffers on the way hold. */
const BODY_BYTES = 10 * MIB
const SIZE = 40 * MIB
const TEXT = Buffer.alloc(MIB, 'This is no video, whatever its name says.\n')
const VIDEO = asMp4(Buffer.alloc(MIB))
const DRAFT = {
  'Tus-Resumable': '',
  'Upload-Draft-Interop-Version': '8',
  'Content-Type': 'application/partial-upload',
}

type Headers = Record<string, string>

/** Java's HttpURLConnection, or Python's http.client: the whole body is written before a byte of the answer is read. */
describe('a client that writes its whole body before it reads', () => {
  let landfall: Landfall
  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '1000' } })
  })
  afterAll(() => landfall?.close())

  /** The answer; fails where the connection is cut before everything is written. */
  async function write(method: string, path: string, headers: Headers, body: Buffer): Promise<string> {
    const { hostname, port } = new URL(landfall.url)
    const socket = connect(Number(port), hostname).pause().setEncoding('latin1')
    const failed = once(socket, 'error').then(([error]) => Promise.reject(error as Error))
    failed.catch(() => {})
    await once(socket, 'connect')
    const isChunked = headers['Content-Length'] === undefined
    const all = { Host: hostname, ...headers, ...(isChunked && { 'Transfer-Encoding': 'chunked' }) }
    const lines = Object.entries(all).flatMap(([name, value]) => (value === '' ? [] : [`${name}: ${value}`]))
    socket.write([`${method} ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n'))
    for (let sent = 0; sent < BODY_BYTES; sent += MIB) {
      if (isChunked) socket.write(`${MIB.toString(16)}\r\n`)
      const written = new Promise<void>((resolve) => socket.write(body, () => resolve()))
      await Promise.race([written, failed])
      if (isChunked) socket.write('\r\n')
    }
    if (isChunked) socket.write('0\r\n\r\n')
    await slowly(50)
    let text = ''
    socket.on('data', (part: string) => {
      text += part
    })
    socket.resume()
    await expect.poll(() => text, { timeout: 10_000 }).toMatch(/^HTTP\/1\.1 [2-5]\d\d /m)
    socket.destroy()
    return text
  }

  const append = (headers: Headers = {}): Headers =>
    tusHeaders(landfall, 'alice', { 'Upload-Offset': '0', 'Content-Type': OFFSET_STREAM, ...headers })
  const newId = () =>
    createId(landfall, 'alice', { size: SIZE, metadata: { filename: 'a.mp4', filetype: 'video/mp4' } })
  const newDraftPath = async () => {
    const answer = await rawRequest(landfall, {
      method: 'POST',
      path: '/files',
      headers: {
        Authorization: `Bearer ${landfall.token('alice')}`,
        'Upload-Draft-Interop-Version': '8',
        'Upload-Complete': '?0',
        'Upload-Length': String(SIZE),
        'Content-Length': '0',
      },
    })
    return new URL(answer.headers.location ?? '', 'http://any').pathname
  }

  type Refused = [why: string, status: number, request: () => Promise<[string, string, Headers, Buffer]>]
  const refused: Refused[] = [
    ['the first bytes', 415, async () => ['PATCH', `/files/${await newId()}`, append(), TEXT]],
    [
      'the first bytes, by another method',
      415,
      async () => ['POST', `/files/${await newId()}`, append({ 'X-HTTP-Method-Override': 'PATCH' }), TEXT],
    ],
    [
      'the first bytes of a creation',
      415,
      async () => [
        'POST',
        '/files',
        tusHeaders(landfall, 'alice', {
          'Upload-Length': String(SIZE),
          'Content-Type': OFFSET_STREAM,
          'Upload-Metadata': metadataHeader({ filename: 'a.mp4' }),
        }),
        TEXT,
      ],
    ],
    [
      'the first bytes, by the draft',
      415,
      async () => ['PATCH', await newDraftPath(), append({ ...DRAFT, 'Upload-Complete': '?0' }), TEXT],
    ],
    [
      'another offset, by the draft',
      409,
      async () => [
        'PATCH',
        await newDraftPath(),
        append({ ...DRAFT, 'Upload-Complete': '?0', 'Upload-Offset': '7' }),
        VIDEO,
      ],
    ],
    [
      'another offset',
      409,
      async () => ['PATCH', `/files/${await newId()}`, append({ 'Upload-Offset': '7' }), VIDEO],
    ],
    [
      'a wrong token',
      401,
      async () => ['PATCH', `/files/${await newId()}`, append({ Authorization: 'Bearer a.b.c' }), VIDEO],
    ],
    ['an upload that nobody knows', 404, async () => ['PATCH', `/files/${'A'.repeat(22)}`, append(), VIDEO]],
    [
      'an upload that has ended',
      410,
      async () => {
        const id = await newId()
        await terminate(landfall, 'alice', id)
        return ['PATCH', `/files/${id}`, append(), VIDEO]
      },
    ],
    [
      'its encoding',
      415,
      async () => ['PATCH', `/files/${await newId()}`, append({ 'Content-Encoding': 'gzip' }), VIDEO],
    ],
    [
      'another offset, and closes its connection',
      409,
      async () => [
        'PATCH',
        `/files/${await newId()}`,
        append({ 'Upload-Offset': '7', Connection: 'close' }),
        VIDEO,
      ],
    ],
  ]

  describe.each([
    ['in chunks', {}],
    ['of a declared length', { 'Content-Length': String(BODY_BYTES) }],
  ] as const)('%s', (_what, framing: Headers) => {
    it.each(refused)('hears that it is refused by %s: %i', async (_why, status, of) => {
      const [method, path, headers, body] = await of()
      const text = await write(method, path, { ...headers, ...framing }, body)
      expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `, 'm'))
      expect(text).toContain('"code":')
    })
  })
})
