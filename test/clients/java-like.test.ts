import { once } from 'node:events'
import { type ClientRequest, request } from 'node:http'
import jwt from 'jsonwebtoken'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { requires } from '../services/requirements.ts'
import { type Landfall, SECRET, startLandfall } from '../support/landfall.ts'
import {
  type Answer,
  answerOf,
  OFFSET_STREAM,
  problemOf,
  rawRequest,
  tusHeaders,
} from '../support/raw-http.ts'
import { sha256Of, videoOfSize } from '../support/s3-landfall.ts'
import { describeStorages } from '../support/storages.ts'
import { createId, metadataHeader, terminate } from '../support/tus.ts'
import { outcome } from '../support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')
const MIB = 1024 * 1024
const SIZE = 13 * MIB
const MAX_SIZE = 20 * MIB
/** What the client writes at a time. */
const PIECE = 2 * MIB

/** Beside those of tus and the token, which `undefined` takes away. */
type Headers = Record<string, string | undefined>

/** tus-java-client on Java's own HTTP: no PATCH, chunks of unknown number, and a question before the body. */
describeStorages.skipIf(!ffmpeg.met || !clamd.met)('a client like tus-java-client', (storage) => {
  let landfall: Landfall
  let video: Buffer
  const running: ClientRequest[] = []

  beforeAll(async () => {
    video = await videoOfSize(SIZE, `java ${storage}`)
    const env = { UPLOAD_MAX_OPEN: '100', UPLOAD_MAX_SIZE: String(MAX_SIZE) }
    landfall = await startLandfall({ storage, env })
  })
  afterEach(() => {
    for (const sent of running.splice(0)) sent.destroy()
  })
  afterAll(() => landfall?.close())

  /** A POST that asks whether its body is welcome; chunked unless `headers` say how long it is. */
  function ask(path: string, headers: Headers): Asked {
    const sent = request(new URL(path, landfall.url), {
      method: 'POST',
      agent: false,
      headers: present({ ...tusHeaders(landfall, 'alice'), Expect: '100-continue', ...headers }),
    })
    running.push(sent)
    const continued = once(sent, 'continue').then(() => 'continue' as const)
    const answer = answerOf(sent)
    // Whichever of the two does not come is not waited for.
    continued.catch(() => {})
    answer.catch(() => {})
    sent.flushHeaders()
    return {
      sent,
      answer,
      first: Promise.race([continued, answer.then(() => 'answer' as const)]),
    }
  }

  const append = (id: string, offset: number, headers: Headers = {}): Asked =>
    ask(`/files/${id}`, {
      'X-HTTP-Method-Override': 'PATCH',
      'Upload-Offset': String(offset),
      'Content-Type': OFFSET_STREAM,
      ...headers,
    })

  async function create(size = SIZE): Promise<string> {
    const answer = await rawRequest(landfall, {
      method: 'POST',
      path: '/files',
      headers: tusHeaders(landfall, 'alice', {
        'Content-Length': '0',
        'Upload-Length': String(size),
        'Upload-Metadata': metadataHeader({ filename: 'clip.mp4' }),
      }),
    })
    expect(answer.status).toBe(201)
    return String(answer.headers.location).split('/').at(-1) ?? ''
  }

  async function offsetOf(id: string): Promise<number> {
    const headers = tusHeaders(landfall, 'alice')
    const answer = await rawRequest(landfall, { method: 'HEAD', path: `/files/${id}`, headers })
    expect(answer.status).toBe(200)
    return Number(answer.headers['upload-offset'])
  }

  it('sends a video in several requests, each asked for and of unknown length', async () => {
    const id = await create()
    for (let offset = 0; offset < SIZE; offset = await offsetOf(id)) {
      const { sent, first, answer } = append(id, offset)
      expect(sent.getHeader('content-length')).toBeUndefined()
      expect(await first).toBe('continue')
      // Its payload of one request, in small writes, then the connection's `finish`.
      const payload = video.subarray(offset, offset + 6 * MIB)
      for (let at = 0; at < payload.length; at += PIECE) await write(sent, payload.subarray(at, at + PIECE))
      sent.end()
      const { status, headers } = await answer
      expect([status, Number(headers['upload-offset'])]).toEqual([204, offset + payload.length])
    }
    const media = await outcome(landfall, 'alice', id)
    expect(media).toMatchObject({ status: 'ready', size: SIZE, sha256: sha256Of(video) })
  })

  it('sends the rest of what a broken connection had brought', async () => {
    const id = await create()
    const broken = append(id, 0)
    expect(await broken.first).toBe('continue')
    await write(broken.sent, video.subarray(0, 7 * MIB))
    broken.sent.destroy()

    const offset = await offsetOf(id)
    expect(offset).toBeGreaterThan(0)
    expect(offset).toBeLessThanOrEqual(7 * MIB)
    const { sent, first, answer } = append(id, offset)
    expect(await first).toBe('continue')
    sent.end(video.subarray(offset))
    expect((await answer).status).toBe(204)
    const media = await outcome(landfall, 'alice', id)
    expect(media).toMatchObject({ status: 'ready', sha256: sha256Of(video) })
  })

  it('is asked for the body of a creation that is welcome', async () => {
    const { sent, first, answer } = ask('/files', {
      'Upload-Length': String(SIZE),
      'Content-Type': OFFSET_STREAM,
    })
    expect(await first).toBe('continue')
    sent.end(video)
    const { status, headers } = await answer
    expect([status, headers['upload-offset']]).toEqual([201, String(SIZE)])
    const media = await outcome(landfall, 'alice', String(headers.location).split('/').at(-1) ?? '')
    expect(media).toMatchObject({ status: 'ready', sha256: sha256Of(video) })
  })

  const signed = (secret: string, expiresIn: number) =>
    `Bearer ${jwt.sign({}, secret, { subject: 'alice', expiresIn })}`
  const foreignId = () => createId(landfall, 'bob', { size: SIZE, metadata: { filename: 'clip.mp4' } })

  const refusals: [why: string, status: number, code: string, refused: () => Promise<Asked>][] = [
    ['no token', 401, 'token-missing', async () => append(await create(), 0, { Authorization: undefined })],
    [
      'an expired token',
      401,
      'token-expired',
      async () => append(await create(), 0, { Authorization: signed(SECRET, -60) }),
    ],
    [
      'a wrong token',
      401,
      'token-invalid',
      async () => append(await create(), 0, { Authorization: signed('another secret', 60) }),
    ],
    ["somebody else's upload", 404, 'not-found', async () => append(await foreignId(), 0)],
    [
      'an upload that was terminated',
      410,
      'upload-terminated',
      async () => {
        const id = await create()
        await terminate(landfall, 'alice', id)
        return append(id, 0)
      },
    ],
    ['a wrong offset', 409, 'offset-conflict', async () => append(await create(), 17)],
    [
      'another content type',
      415,
      'unsupported-content-type',
      async () => append(await create(), 0, { 'Content-Type': 'video/mp4' }),
    ],
    [
      'more bytes than are left',
      413,
      'too-large',
      async () => append(await create(), 0, { 'Content-Length': String(SIZE + 1) }),
    ],
    [
      'a creation that is too large',
      413,
      'too-large',
      async () => ask('/files', { 'Upload-Length': String(MAX_SIZE + 1), 'Content-Type': OFFSET_STREAM }),
    ],
    [
      'a creation without a token',
      401,
      'token-missing',
      async () =>
        ask('/files', {
          'Upload-Length': String(SIZE),
          'Content-Type': OFFSET_STREAM,
          Authorization: undefined,
        }),
    ],
    [
      'an IETF creation that is too large',
      413,
      'too-large',
      async () => ask('/files', { ...DRAFT, 'Upload-Length': String(MAX_SIZE + 1) }),
    ],
    [
      "an IETF append to somebody else's upload",
      404,
      'not-found',
      async () => append(await foreignId(), 0, DRAFT),
    ],
    [
      'an IETF append at a wrong offset',
      409,
      'offset-conflict',
      async () => {
        const { answer } = ask('/files', { ...DRAFT, 'Upload-Complete': '?0', 'Content-Length': '0' })
        const id =
          String((await answer).headers.location)
            .split('/')
            .at(-1) ?? ''
        return append(id, 17, DRAFT)
      },
    ],
  ]

  it.each(refusals)('is not asked for a single byte because of %s: %i %s', async (_why, status, code, of) => {
    const { first, answer } = await of()
    expect(await first).toBe('answer')
    const refusal = await answer
    expect([refusal.status, problemOf(refusal).code]).toEqual([status, code])
    // Nobody can tell whether what comes next on it would be a body or a request.
    expect(refusal.headers.connection).toBe('close')
  })
})

/** Instead of the headers of tus. */
const DRAFT: Headers = {
  'Tus-Resumable': undefined,
  'Content-Type': 'application/partial-upload',
  'Upload-Draft-Interop-Version': '6',
  'Upload-Complete': '?1',
}

type Asked = {
  sent: ClientRequest
  /** What came first: leave to send the body, or the answer. */
  first: Promise<'continue' | 'answer'>
  answer: Promise<Answer>
}

function present(headers: Headers): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
}

async function write(sent: ClientRequest, bytes: Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) =>
    sent.write(bytes, (error) => (error ? reject(error) : resolve())),
  )
}
