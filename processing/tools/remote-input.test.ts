import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { FORMATS } from '../../content/formats.ts'
import { ContentRejected } from '../../content/verdict.ts'
import type { MediaRow } from '../../ledger/media.ts'
import { ObjectMissing, type Objects } from '../../storage/store/objects.ts'
import { bitFlipped } from '../../test/fixtures/hostile.ts'
import { jpeg, shortVideo, truncatedFaststartVideo, truncatedVideo } from '../../test/fixtures/media.ts'
import { programPath, requires } from '../../test/services/requirements.ts'
import { slowly } from '../../test/support/pauses.ts'
import type { StepContext } from '../step/step.ts'
import { deepCheck } from '../steps/deep-check.ts'
import { probe } from '../steps/probe.ts'
import { thumbnail } from '../steps/thumbnail.ts'
import { isBytesLost } from './bytes-lost.ts'
import { Ffmpeg } from './ffmpeg.ts'
import { InputNotDelivered } from './tool-errors.ts'

const ffmpeg = requires('ffmpeg')
const SECRET = 'the-signature-of-the-address'
const LIMITS = {
  maxDurationSeconds: 60,
  minWidth: 1,
  minHeight: 1,
  maxWidth: 1024,
  maxHeight: 1024,
  maxImagePixels: 1024 * 1024,
}

/** What becomes of the n-th request of a tool, from 1. The rest of the object would be `body`. */
type Misbehave = (n: number, response: ServerResponse, body: Buffer) => boolean

const faults = {
  'behaves well': () => false,
  'is busy once': (n, response) => n === 1 && refuse(response, 503),
  'breaks off every reply': (_n, response, body) => body.length > 60_000 && breakOff(response, body, 60_000),
  'is always busy': (_n, response) => refuse(response, 503),
  'refuses all but the first request': (n, response) => n > 1 && refuse(response, 403),
  'has lost the object': (_n, response) => refuse(response, 404),
  'hangs up on all but the first request': (n, response, body) =>
    n === 1 ? breakOff(response, body, 20_000) : hangUp(response),
  'answers with a page': (_n, response) => {
    response.removeHeader('Content-Length')
    response.writeHead(200, { 'Content-Type': 'text/html' }).end('<h1>Please log in</h1>'.repeat(100))
    return true
  },
} satisfies Record<string, Misbehave>

function refuse(response: ServerResponse, status: number): true {
  response.removeHeader('Content-Length')
  response.writeHead(status).end()
  return true
}
function hangUp(response: ServerResponse): true {
  response.socket?.destroy()
  return true
}
function breakOff(response: ServerResponse, body: Buffer, after: number): true {
  response.write(body.subarray(0, after), () => void slowly(5).then(() => response.socket?.destroy()))
  return true
}

describe.skipIf(!ffmpeg.met)('a file at an address', () => {
  const undo: (() => void)[] = []
  afterEach(() => {
    for (const release of undo.splice(0)) release()
  })

  async function contextOf(file: string | Buffer, misbehave: Misbehave, kind: 'video' | 'image' = 'video') {
    const bytes = typeof file === 'string' ? await readFile(file) : file
    const server = await serve(bytes, misbehave)
    undo.push(() => server.close())
    const stored = new Map<string, Uint8Array>()
    const objects = {
      toolInput: async () => `${server.url}/bucket/uploads/x?X-Amz-Signature=${SECRET}`,
      sizeOf: async () => bytes.length,
      async read(_key: string, { range = { start: 0, end: bytes.length - 1 } } = {}) {
        const Range = `bytes=${range.start}-${range.end}`
        const response = await fetch(`${server.url}/own`, { headers: { Range } })
        if (response.status !== 206 || !response.body) throw new ObjectMissing('x')
        return Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0])
      },
      put: async (key: string, data: Uint8Array) => void stored.set(key, data),
      checkWritable: async () => {},
    } as unknown as Objects
    const media = {
      id: 'm',
      storage_key: 'uploads/x',
      kind,
      content_type: kind === 'video' ? 'video/mp4' : 'image/jpeg',
      size: bytes.length,
      sha256: null,
      etag: '"e"',
      ...{ duration_seconds: 2, width: 640, height: 360, video_codec: 'h264', has_audio: true },
      ...{ picture_stream: null, sound_stream: null, renditions_skipped: null },
    } as unknown as MediaRow
    const context = {
      media,
      objects,
      ffmpeg: new Ffmpeg({ ffmpegPath: programPath('ffmpeg'), ffprobePath: programPath('ffprobe') }),
      limits: LIMITS,
      accepted: { formats: FORMATS, others: [] },
      deepCheck: 'full',
      thumbnails: { atSeconds: 1, widths: [640, 320] },
      signal: AbortSignal.timeout(60_000),
    } as unknown as StepContext
    return { context, server, bytes }
  }

  it.each(['behaves well', 'is busy once', 'breaks off every reply'] as const)(
    'is probed when the storage %s',
    async (how) => {
      const { context } = await contextOf((await shortVideo()).path, faults[how])
      const { facts } = await probe.run(context)
      expect(facts).toMatchObject({ width: 640, height: 360, video_codec: 'h264', has_audio: true })
    },
  )

  it.each([
    // ffmpeg is patient with these, so one step each has to do.
    { how: 'is always busy', steps: [probe] },
    { how: 'hangs up on all but the first request', steps: [probe] },
    { how: 'refuses all but the first request', steps: [probe, thumbnail] },
    { how: 'has lost the object', steps: [probe, thumbnail] },
  ] as const)('gets no verdict, and no address is told, when the storage $how', async ({ how, steps }) => {
    const { context } = await contextOf((await shortVideo()).path, faults[how])
    for (const step of steps) {
      const error = await step.run(context).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(InputNotDelivered)
      expect(everythingIn(error)).not.toMatch(/the-signature|127\.0\.0\.1/)
    }
  })

  it.each(['behaves well', 'is busy once', 'breaks off every reply'] as const)(
    'is decoded without complaint when the storage %s',
    async (how) => {
      const { context } = await contextOf((await shortVideo()).path, faults[how])
      expect(await deepCheck.run(context)).toEqual({ detail: { depth: 'full' } })
    },
  )

  const flipped = async () => bitFlipped(await readFile((await shortVideo()).path), 200, 1)

  it('is damaged when twice it could not be decoded', async () => {
    const { context } = await contextOf(await flipped(), faults['behaves well'])
    const look = vi.spyOn(context.ffmpeg, 'decode')
    await expect(deepCheck.run(context)).rejects.toMatchObject({ verdict: { code: 'damaged' } })
    expect(look).toHaveBeenCalledTimes(2)
  })

  it.each(['is busy once', 'refuses all but the first request', 'answers with a page'] as const)(
    'is not called damaged by its decoder when the storage %s',
    async (how) => {
      const file = how === 'is busy once' ? await flipped() : (await shortVideo()).path
      const { context } = await contextOf(file, faults[how])
      const error = await deepCheck.run(context).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(Error)
      expect(error).not.toBeInstanceOf(ContentRejected)
    },
  )

  it.each([truncatedVideo, truncatedFaststartVideo])(
    'is damaged when it is all there and was looked at twice',
    async (make) => {
      const { context } = await contextOf((await make()).path, faults['behaves well'])
      const look = vi.spyOn(context.ffmpeg, 'probe')
      await expect(probe.run(context)).rejects.toMatchObject({ verdict: { code: 'damaged' } })
      expect(look).toHaveBeenCalledTimes(2)
    },
  )

  it.each(['is busy once', 'breaks off every reply'] as const)(
    'is not called damaged at a look at which the storage %s',
    async (how) => {
      const { context } = await contextOf((await truncatedFaststartVideo()).path, faults[how])
      const error = await probe.run(context).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(InputNotDelivered)
    },
  )

  it.each<[string, Misbehave]>([
    [
      'only a part of it, as if it were all',
      (_n, response, body) => {
        const half = body.subarray(0, body.length / 2)
        response.setHeader('Content-Length', half.length)
        if (response.statusCode === 206)
          response.setHeader('Content-Range', `bytes 0-${half.length - 1}/${half.length}`)
        response.end(half)
        return true
      },
    ],
    ['a page', faults['answers with a page']],
  ])('is not called damaged when what comes is %s', async (_what, misbehave) => {
    const { context } = await contextOf((await shortVideo()).path, misbehave)
    const error = await probe.run(context).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(Error)
    expect(error).not.toBeInstanceOf(ContentRejected)
  })

  it('is an image of which the header is enough to probe it', async () => {
    const { context, server } = await contextOf(
      (await jpeg({ width: 800, height: 600 })).path,
      faults['behaves well'],
      'image',
    )
    expect((await probe.run(context)).facts).toMatchObject({ width: 800, height: 600 })
    expect(server.requests()).toBe(1)
  })

  it('is a damaged image only if the bytes are those that were scanned', async () => {
    const whole = await readFile((await jpeg({ width: 800, height: 600 })).path)
    const half = whole.subarray(0, whole.length / 2)
    const { context } = await contextOf(half, faults['behaves well'], 'image')
    Object.assign(context.media, { sha256: sha256Of(whole) })
    const error = await thumbnail.run(context).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(Error)
    expect(error).not.toBeInstanceOf(ContentRejected)
    Object.assign(context.media, { sha256: sha256Of(half) })
    await expect(thumbnail.run(context)).rejects.toMatchObject({ verdict: { code: 'damaged' } })
  })

  it('is an image too large for a thumbnail, which it goes without', async () => {
    const { context, server } = await contextOf(
      (await jpeg({ width: 800, height: 600 })).path,
      faults['behaves well'],
      'image',
    )
    Object.assign(context.media, { size: 1024 * 1024 * 8 + 16 * 1024 * 1024 + 1 })
    expect(await thumbnail.run(context)).toEqual({ detail: { skipped: 'the image has too many bytes' } })
    expect(server.requests()).toBe(0)
  })

  it('is lost only when it is missing for our own look as well', async () => {
    const { context } = await contextOf((await shortVideo()).path, faults['has lost the object'])
    const error = await probe.run(context).catch((thrown: unknown) => thrown)
    expect(await isBytesLost(error, context.objects, context.media)).toBe(false)
    const gone = {
      read: async () => {
        throw new ObjectMissing('uploads/x')
      },
    } as unknown as Objects
    expect(await isBytesLost(error, gone, context.media)).toBe(true)
    expect(await isBytesLost(error, gone, { ...context.media, etag: null })).toBe(false)
    expect(await isBytesLost(new Error('something else'), gone, context.media)).toBe(false)
  })
})

const sha256Of = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

/** An error as a log may print it. */
function everythingIn(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const own = Object.getOwnPropertyNames(error).map((name) => Reflect.get(error, name))
  return own.map((value) => (value instanceof Error ? everythingIn(value) : String(value))).join('\n')
}

/** An HTTP server that knows ranges; `/own` always behaves. */
async function serve(bytes: Buffer, misbehave: Misbehave) {
  let requests = 0
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const [, from = '0', to] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? []
    const start = Number(from)
    const end = to ? Math.min(Number(to), bytes.length - 1) : bytes.length - 1
    requests += 1
    const isTool = request.url !== '/own'
    if (start >= bytes.length) return void response.writeHead(416).end()
    const body = bytes.subarray(start, end + 1)
    const isRange = request.headers.range !== undefined
    response.statusCode = isRange ? 206 : 200
    response.setHeader('Accept-Ranges', 'bytes')
    if (isRange) response.setHeader('Content-Range', `bytes ${start}-${end}/${bytes.length}`)
    if (isTool && misbehave(requests, response, sized(response, body))) return
    response.setHeader('Content-Length', body.length)
    response.end(body)
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: () => requests,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}

function sized(response: ServerResponse, body: Buffer): Buffer {
  response.setHeader('Content-Length', body.length)
  return body
}
