import { once } from 'node:events'
import { type OutgoingHttpHeaders, request } from 'node:http'
import { DetailedError } from 'tus-js-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Landfall, startLandfall } from '../support/landfall.ts'
import { type Answer, answerOf, OFFSET_STREAM, problemOf } from '../support/raw-http.ts'
import { asMp4 } from '../support/sample-bytes.ts'
import { statusOf } from '../support/status.ts'
import { createId, metadataHeader } from '../support/tus.ts'

// The clients of docs/clients.md. Those of npm run as they are; of the others each request is sent as their sources send it.

const SIZE = 300_000
const FILE = asMp4(Buffer.alloc(SIZE, 'a frame'))
const filename = metadataHeader({ filename: 'clip.mp4' })
const filetype = metadataHeader({ filetype: 'video/mp4' })

type Wire = {
  /** Asks `OPTIONS` first, and needs these headers of the answer. */
  needs?: readonly string[]
  creation: OutgoingHttpHeaders
  /** Takes the `Location` as it is: a relative one is an error. */
  needsAbsolute?: true
  /** Beside `Tus-Resumable`, `Upload-Offset`, type and token. */
  append: OutgoingHttpHeaders
  method: 'PATCH' | 'POST'
  isChunked?: true
  /** Waits for `100 Continue`. */
  asks?: true
  /** Bytes of a request. */
  chunkBytes: number
  /** What of HEAD it cannot do without. */
  reads: readonly string[]
}

const LENGTH = { 'Upload-Length': String(SIZE) }
const OFFSETS = ['upload-offset', 'upload-length']

const CLIENTS: Record<string, Wire> = {
  // Python, on http.client: metadata is sent also where there is none.
  tuspy: {
    creation: { ...LENGTH, 'Upload-Metadata': '', 'Content-Length': '0' },
    append: {},
    method: 'PATCH',
    chunkBytes: 100_000,
    reads: OFFSETS,
  },
  // Python, on aiohttp: streams, and makes a URL of the Location.
  aiotus: {
    creation: { ...LENGTH, 'Upload-Metadata': `${filename}, ${filetype}`, 'Content-Length': '0' },
    needsAbsolute: true,
    append: {},
    method: 'PATCH',
    isChunked: true,
    chunkBytes: SIZE,
    reads: OFFSETS,
  },
  // Go: asks for the extensions first.
  tusgo: {
    needs: ['tus-version', 'tus-extension', 'tus-max-size', 'tus-checksum-algorithm'],
    creation: { ...LENGTH, 'Upload-Metadata': `${filename},${filetype}`, 'Content-Length': '0' },
    append: {},
    method: 'PATCH',
    chunkBytes: 150_000,
    reads: OFFSETS,
  },
  // Go: metadata is sent also where there is none; POST where PATCH is blocked.
  'go-tus': {
    creation: { ...LENGTH, 'Upload-Metadata': '', 'Content-Length': '0' },
    append: { 'X-HTTP-Method-Override': 'PATCH' },
    method: 'POST',
    chunkBytes: 120_000,
    reads: ['upload-offset'],
  },
  // Java, on HttpURLConnection: chunks of unknown number, asked for.
  'tus-java-client': {
    creation: { ...LENGTH, 'Upload-Metadata': `${filename},${filetype}`, 'Content-Length': '0' },
    append: { 'X-HTTP-Method-Override': 'PATCH' },
    method: 'POST',
    isChunked: true,
    asks: true,
    chunkBytes: 200_000,
    reads: ['upload-offset'],
  },
  // Rust: names in lower case; makes a URL of the Location; needs every header of OPTIONS.
  tus_client: {
    needs: ['tus-version', 'tus-extension', 'tus-max-size'],
    creation: { 'upload-length': String(SIZE), 'upload-metadata': filename, 'content-length': '0' },
    needsAbsolute: true,
    append: {},
    method: 'PATCH',
    chunkBytes: 100_000,
    reads: OFFSETS,
  },
  // Swift: a space behind the comma, and a header that nobody knows.
  TUSKit: {
    creation: {
      ...LENGTH,
      'Upload-Extension': 'creation',
      'Upload-Metadata': `${filename}, ${filetype}`,
      'Content-Length': '0',
    },
    append: {},
    method: 'PATCH',
    chunkBytes: 100_000,
    reads: ['upload-offset'],
  },
  // curl -d '' and curl --data-binary @file: a type that is none of the body, and a question for larger bodies.
  curl: {
    creation: {
      ...LENGTH,
      'Upload-Metadata': `${filename},${filetype},`,
      'Content-Type': 'application/x-www-form-urlencoded',
      'Content-Length': '0',
    },
    append: {},
    method: 'PATCH',
    asks: true,
    chunkBytes: SIZE,
    reads: OFFSETS,
  },
}

describe('the table of clients', () => {
  let landfall: Landfall
  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '1000' } })
  })
  afterAll(() => landfall?.close())

  const headersOf = (sub: string, more: OutgoingHttpHeaders): OutgoingHttpHeaders => ({
    Authorization: `Bearer ${landfall.token(sub)}`,
    'Tus-Resumable': '1.0.0',
    ...more,
  })

  async function send(
    method: string,
    url: string,
    headers: OutgoingHttpHeaders,
    body?: Buffer,
  ): Promise<Answer> {
    const sent = request(url, { method, agent: false, headers })
    const answer = answerOf(sent)
    if (headers.Expect !== undefined) {
      sent.flushHeaders()
      await once(sent, 'continue')
    }
    // Without a body Node sends no framing, and with several writes it is chunks.
    if (body && headers['Content-Length'] === undefined) {
      sent.write(body.subarray(0, 1000))
      sent.end(body.subarray(1000))
    } else sent.end(body)
    return await answer
  }

  describe.each(Object.entries(CLIENTS))('%s', (name, wire) => {
    const addressIn = ({ headers }: Answer) =>
      wire.needsAbsolute
        ? new URL(headers.location ?? '').href
        : new URL(headers.location ?? '', `${landfall.url}/files`).href
    const create = async () => {
      const answer = await send('POST', `${landfall.url}/files`, headersOf(name, wire.creation))
      expect([answer.status, answer.body]).toEqual([201, ''])
      return addressIn(answer)
    }
    const append = (url: string, offset: number, body: Buffer) =>
      send(
        wire.method,
        url,
        headersOf(name, {
          'Upload-Offset': String(offset),
          'Content-Type': OFFSET_STREAM,
          ...(!wire.isChunked && { 'Content-Length': String(body.length) }),
          ...(wire.asks && { Expect: '100-continue' }),
          ...wire.append,
        }),
        body,
      )
    const head = (url: string) => send('HEAD', url, headersOf(name, {}))

    it('uploads, and learns what became of it however often it asks', async () => {
      if (wire.needs) {
        const { headers } = await send('OPTIONS', `${landfall.url}/files`, headersOf(name, {}))
        for (const needed of wire.needs) expect(headers[needed]).toMatch(/./)
      }
      const url = await create()
      for (let offset = 0; offset < SIZE; offset += wire.chunkBytes) {
        const seen = await head(url)
        for (const needed of wire.reads) expect(seen.headers[needed]).toMatch(/^\d+$/)
        expect(Object.values(seen.headers)).not.toContain('')
        const body = FILE.subarray(offset, offset + wire.chunkBytes)
        const answer = await append(url, offset, body)
        expect([answer.status, answer.headers['upload-offset']]).toEqual([204, String(offset + body.length)])
      }
      const { mediaId, state } = await statusOf(landfall, name, url.split('/').at(-1) ?? '')
      expect(state).toBe('received')
      expect((await head(url)).headers).toMatchObject({
        'upload-media-id': mediaId,
        'upload-offset': String(SIZE),
      })
      expect((await landfall.stored.bytes(`uploads/${url.split('/').at(-1)}`)).equals(FILE)).toBe(true)
    })

    it('hears of another offset, and goes on where the upload is', async () => {
      const url = await create()
      await append(url, 0, FILE.subarray(0, 1000))
      const headers = headersOf(name, { 'Upload-Offset': '7', 'Content-Type': OFFSET_STREAM, ...wire.append })
      const refused = await send(wire.method, url, headers, Buffer.alloc(2000))
      expect([refused.status, problemOf(refused).code]).toEqual([409, 'offset-conflict'])
      expect(refused.headers['upload-offset']).toBe('1000')
      expect((await append(url, 1000, FILE.subarray(1000))).status).toBe(204)
    })
  })

  const DEFERRED: [string, object] = [
    'of a length that it tells later',
    { uploadLengthDeferred: true, chunkSize: 100_000 },
  ]

  describe.each(['2', '3', '4', '5'] as const)('tus-js-client %s', (major) => {
    const UPLOADERS = {
      2: () => import('tus-js-client-2'),
      3: () => import('tus-js-client-3'),
      4: () => import('tus-js-client'),
      5: () => import('tus-js-client-5'),
    }
    const upload = async (sub: string, options: object, body: Buffer = FILE): Promise<string> => {
      const { Upload } = (await UPLOADERS[major]()) as typeof import('tus-js-client')
      return await new Promise((resolve, reject) => {
        const started = new Upload(body, {
          endpoint: `${landfall.url}/files`,
          headers: { Authorization: `Bearer ${landfall.token(sub)}` },
          metadata: { filename: 'clip.mp4', filetype: 'video/mp4' },
          retryDelays: [0, 100],
          onError: reject,
          onSuccess: () => resolve(started.url?.split('/').at(-1) ?? ''),
          ...options,
        })
        started.start()
      })
    }

    it.each<[string, object]>([
      ['in one request', {}],
      ['in chunks', { chunkSize: 100_000 }],
      ['with the creation', { uploadDataDuringCreation: true }],
      ['by another method', { overridePatchMethod: true, chunkSize: 100_000 }],
      ['in parallel', { parallelUploads: 2 }],
      ['without metadata', { metadata: {} }],
      // Version 2 never notices the end of a buffer.
      ...(major === '2' ? [] : [DEFERRED]),
    ])('uploads %s', async (_what, options) => {
      const sub = `tus-js-client-${major}`
      const id = await upload(sub, options)
      expect(await statusOf(landfall, sub, id)).toMatchObject({ state: 'received', size: SIZE })
    })

    it('goes on with an upload whose last answer was lost, and is told its media item', async () => {
      const sub = `tus-js-client-${major}`
      const size = SIZE
      const id = await createId(landfall, sub, { size, metadata: { filename: 'clip.mp4' } })
      const url = `${landfall.url}/files/${id}`
      const whole = { 'Upload-Offset': '0', 'Content-Type': OFFSET_STREAM }
      expect((await send('PATCH', url, headersOf(sub, whole), FILE)).status).toBe(204)
      const told: (string | undefined)[] = []
      const onAfterResponse = (_sent: unknown, answer: { getHeader(name: string): string | undefined }) => {
        told.push(answer.getHeader('Upload-Media-Id'))
      }
      await upload(sub, { uploadUrl: url, onAfterResponse })
      expect(told.at(-1)).toBe((await statusOf(landfall, sub, id)).mediaId)
    })

    it('is told why it is refused', async () => {
      const failure: unknown = await upload('refused', { metadata: { filename: 'setup.exe' } }).catch(
        (error: unknown) => error,
      )
      const { originalResponse } = failure as DetailedError
      expect(originalResponse?.getStatus()).toBe(415)
      expect(originalResponse?.getBody()).toContain('type-not-allowed')
      if (major === '4') expect(failure).toBeInstanceOf(DetailedError)
    })
  })
})
