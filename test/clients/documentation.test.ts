import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Uppy from '@uppy/core'
import Tus from '@uppy/tus'
import jwt from 'jsonwebtoken'
import { type DetailedError, Upload, type UploadOptions } from 'tus-js-client'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { examplesIn, exampleWith, runExample, textFor } from '../support/doc-examples.ts'
import { readStream } from '../support/event-reader.ts'
import { asMediaId } from '../support/ids.ts'
import { type Landfall, SECRET, startLandfall } from '../support/landfall.ts'
import { asMp4 } from '../support/sample-bytes.ts'
import { statusOf } from '../support/status.ts'
import { createId, patch } from '../support/tus.ts'

// What README.md and docs/clients.md show and say of clients, run as it stands there.

const DOCS = 'docs/clients.md'
const SIZE = 300_000
const BYTES = asMp4(Buffer.alloc(SIZE, 'a frame'))
/** As a `File` of a browser, of which tus-js-client in Node reads a buffer. */
const FILE = Object.assign(Buffer.from(BYTES), { name: 'clip.mp4', type: 'video/mp4', size: SIZE })

let landfall: Landfall
beforeAll(async () => {
  landfall = await startLandfall({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '1000' } })
})
afterAll(() => landfall?.close())

const expired = (sub: string) => jwt.sign({ sub, exp: 1_700_000_000 }, SECRET)
const idIn = (url: string | null | undefined) => url?.split('/').at(-1) ?? ''

/** Runs until the example reports an end; gives the id of the upload, or fails with what it reports. */
function ended(start: (callbacks: Partial<UploadOptions>) => unknown): Promise<string> {
  return new Promise((resolve, reject) => {
    const upload = start({ onSuccess: () => resolve(idIn(upload.url)), onError: reject }) as Upload
  })
}

it('are all of the examples that the documents have', () => {
  const ofReadme = examplesIn('README.md', 'js').map(({ code }) => code)
  expect(ofReadme.map((code) => /new (\w+)\(/.exec(code)?.[1])).toEqual(['Upload', 'Uppy'])
  const names = examplesIn(DOCS, 'js', 'sh').map(({ code }) => /function (\w+)|^OFFSET/m.exec(code)?.[0])
  expect(names).toEqual([
    'function startUpload',
    'function createUppy',
    'OFFSET',
    'function whenReady',
    'function lastEventOf',
    'function problemOf',
    'function startParallelUpload',
    'function startPostUpload',
  ])
})

describe('the example of tus-js-client in the README', () => {
  const run = async (getToken: () => string, file: object = FILE) => {
    const printed = Promise.withResolvers<unknown>()
    const console = { log: printed.resolve, error: printed.resolve }
    await runExample(exampleWith('README.md', 'new Upload('), landfall.url, { file, getToken, console })
    return await printed.promise
  }

  it('prints the media item', async () => {
    const mediaId = await run(() => landfall.token('readme'))
    expect((await landfall.as('readme')(`/api/v1/media/${mediaId}`)).status).toBe(200)
  })

  it('prints why it is refused', async () => {
    const file = Object.assign(Buffer.from(BYTES), { name: 'setup.exe', type: '', size: SIZE })
    expect(JSON.parse(String(await run(() => landfall.token('readme'), file)))).toMatchObject({
      code: 'type-not-allowed',
    })
  })

  it('asks for a token before each request', async () => {
    let asked = 0
    await run(() => {
      asked += 1
      return landfall.token('readme')
    })
    expect(asked).toBe(2)
  })
})

describe('Uppy', () => {
  const add = (uppy: Uppy) =>
    uppy.addFile({ name: 'clip.mp4', type: 'video/mp4', data: FILE as unknown as Blob })
  const uploaded = (uppy: Uppy) =>
    new Promise<string>((resolve, reject) => {
      uppy.on('upload-success', (_file, response) => resolve(idIn(response.uploadURL)))
      uppy.on('upload-error', (_file, error) => reject(error))
    })

  it('uploads as the README shows it', async () => {
    const made: Uppy[] = []
    class Recorded extends Uppy {
      constructor() {
        super({ autoProceed: true })
        made.push(this)
      }
    }
    await runExample(exampleWith('README.md', 'new Uppy('), landfall.url, {
      '@uppy/core': { default: Recorded },
      getToken: () => landfall.token('uppy'),
    })
    const [uppy] = made
    if (!uppy) throw new Error('the example makes no Uppy')
    const done = uploaded(uppy)
    add(uppy)
    expect(await statusOf(landfall, 'uppy', await done)).toMatchObject({ state: 'received' })
  })

  it('survives a token that is refused in the middle, as the document shows it', async () => {
    const { createUppy } = await runExample(exampleWith(DOCS, 'function createUppy'), landfall.url)
    const tokens = [landfall.token('uppy'), expired('uppy')]
    const uppy = createUppy?.(async () => tokens.shift() ?? landfall.token('uppy')) as Uppy
    uppy.getPlugin('Tus')?.setOptions({ chunkSize: 100_000, retryDelays: [0, 0, 0] })
    const done = uploaded(uppy)
    add(uppy)
    expect(await statusOf(landfall, 'uppy', await done)).toMatchObject({ state: 'received', offset: SIZE })
  })
})

describe('a token that expires in the middle of an upload', () => {
  const started = async () =>
    (await runExample(exampleWith(DOCS, 'function startUpload'), landfall.url)).startUpload

  it('ends an upload whose token is in the option `headers`', async () => {
    let requests = 0
    const failure = await ended((callbacks) => {
      const upload = new Upload(BYTES, {
        endpoint: `${landfall.url}/files`,
        headers: { Authorization: `Bearer ${landfall.token('static')}` },
        metadata: { filename: 'clip.mp4' },
        chunkSize: 100_000,
        retryDelays: [0, 0],
        // Its time has come.
        onBeforeRequest(request) {
          if (++requests > 2) request.setHeader('Authorization', `Bearer ${expired('static')}`)
        },
        ...callbacks,
      })
      upload.start()
      return upload
    }).catch((error: unknown) => error)
    expect((failure as DetailedError).originalResponse?.getStatus()).toBe(401)
  })

  it('is replaced by one that is asked for, and the upload goes on where it was', async () => {
    const startUpload = await started()
    const asked: unknown[] = []
    const getToken = async (isRefused: boolean) => {
      asked.push(isRefused)
      const isGood = isRefused || asked.length !== 3
      return isGood ? landfall.token('fresh') : expired('fresh')
    }
    const id = await ended((callbacks) =>
      startUpload?.(FILE, getToken, { chunkSize: 100_000, retryDelays: [0, 0, 0], ...callbacks }),
    )
    // Creation, a chunk, a refusal; the offset by a new token, and the other two chunks.
    expect(asked).toEqual([false, false, false, true, false, false])
    expect(await statusOf(landfall, 'fresh', id)).toMatchObject({ state: 'received', offset: SIZE })
    const { items } = (await (await landfall.as('fresh')('/api/v1/uploads')).json()) as { items: unknown[] }
    expect(items).toEqual([])
  })

  it('does not lose the upload where it is refused when the offset is asked for', async () => {
    const id = await createId(landfall, 'head', { size: SIZE, metadata: { filename: 'clip.mp4' } })
    await patch(landfall, 'head', id, { offset: 0, body: BYTES.subarray(0, 1000) })
    const startUpload = await started()
    const getToken = (isRefused: boolean) => (isRefused ? landfall.token('head') : expired('head'))
    const good = landfall.token('head')
    let hasBeenRefused = false
    const uploadUrl = `${landfall.url}/files/${id}`
    const done = await ended((callbacks) =>
      startUpload?.(
        FILE,
        (isRefused: boolean) => {
          hasBeenRefused ||= isRefused
          return hasBeenRefused ? good : getToken(isRefused)
        },
        { uploadUrl, retryDelays: [0, 0, 0], ...callbacks },
      ),
    )
    expect([done, hasBeenRefused]).toEqual([id, true])
    expect(await statusOf(landfall, 'head', id)).toMatchObject({ state: 'received', offset: SIZE })
  })

  it('is replaced in curl, which goes on at the offset', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'landfall-docs-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    await writeFile(join(folder, 'clip.mp4'), BYTES)
    const id = await createId(landfall, 'curl', { size: SIZE, metadata: { filename: 'clip.mp4' } })
    await patch(landfall, 'curl', id, { offset: 0, body: BYTES.subarray(0, 123_456) })
    const script = textFor(exampleWith(DOCS, 'OFFSET=$(curl'), landfall.url)
    const env = {
      PATH: process.env.PATH,
      UPLOAD: `${landfall.url}/files/${id}`,
      TOKEN: landfall.token('curl'),
      FILE: join(folder, 'clip.mp4'),
    }
    await promisify(execFile)('bash', ['-e', '-c', script], { env })
    expect(await statusOf(landfall, 'curl', id)).toMatchObject({ state: 'received', offset: SIZE })
  })
})

describe('after success', () => {
  async function received(sub: string): Promise<{ id: string; mediaId: string }> {
    const id = await createId(landfall, sub, { size: SIZE, metadata: { filename: 'clip.mp4' } })
    await patch(landfall, sub, id, { offset: 0, body: BYTES })
    const { state, mediaId } = await statusOf(landfall, sub, id)
    // All bytes are stored, and nobody has looked at them yet.
    expect(state).toBe('received')
    expect((await landfall.as(sub)(`/api/v1/media/${mediaId}/content`)).status).toBe(409)
    return { id, mediaId: mediaId ?? '' }
  }
  const becomes = (mediaId: string, status: 'ready' | 'rejected') =>
    landfall.db
      .updateTable('landfall.media')
      .set({ status, reason: JSON.stringify({ code: 'infected', detail: 'It is infected.' }) })
      .where('id', '=', asMediaId(mediaId))
      .execute()
  const wait = async () => (await runExample(exampleWith(DOCS, 'function whenReady'), landfall.url)).whenReady

  it('the media item is waited for until it is ready', async () => {
    const { mediaId } = await received('ready')
    const ready = (await wait())?.(mediaId, () => landfall.token('ready'), 50)
    await becomes(mediaId, 'ready')
    expect(await ready).toMatchObject({ id: mediaId, status: 'ready' })
  })

  it('a verdict ends the wait with its reason', async () => {
    const { mediaId } = await received('rejected')
    await becomes(mediaId, 'rejected')
    await expect((await wait())?.(mediaId, () => landfall.token('rejected'), 50)).rejects.toThrow(
      'It is infected.',
    )
  })

  it('events tell of the end, opened by a ticket', async () => {
    const { id } = await received('events')
    const { lastEventOf } = await runExample(exampleWith(DOCS, 'function lastEventOf'), landfall.url, {
      EventSource: StreamedEventSource,
    })
    const last = lastEventOf?.(id, () => landfall.token('events'))
    const deleted = await fetch(`${landfall.url}/files/${id}`, {
      method: 'DELETE',
      headers: { Authorization: `Bearer ${landfall.token('events')}`, 'Tus-Resumable': '1.0.0' },
    })
    expect(deleted.status).toBe(204)
    expect(await last).toMatchObject({ uploadId: id, type: 'upload.terminated' })
  })
})

/** Of a browser, as far as the example needs it. */
class StreamedEventSource {
  readonly #listeners: ((event: { data: string }) => void)[] = []
  #isClosed = false

  constructor(url: string) {
    void this.#read(url)
  }

  addEventListener(type: string, listener: (event: { data: string }) => void): void {
    expect(type).toBe('state')
    this.#listeners.push(listener)
  }

  close(): void {
    this.#isClosed = true
  }

  async #read(url: string): Promise<void> {
    for await (const { event, data } of readStream(url, {})) {
      if (event === 'state') for (const listener of this.#listeners) listener({ data: JSON.stringify(data) })
      if (this.#isClosed) return
    }
  }
}

describe('what the server says of an error', () => {
  const problemOf = async () =>
    (await runExample(exampleWith(DOCS, 'function problemOf'), landfall.url)).problemOf

  it('is read out of the error of tus-js-client', async () => {
    const failure = await ended((callbacks) => {
      const upload = new Upload(BYTES, {
        endpoint: `${landfall.url}/files`,
        headers: { Authorization: `Bearer ${landfall.token('why')}` },
        metadata: { filename: 'setup.exe' },
        ...callbacks,
      })
      upload.start()
      return upload
    }).catch((error: unknown) => error)
    expect((await problemOf())?.(failure)).toEqual({
      code: 'type-not-allowed',
      detail: 'A file with the extension ".exe" is not accepted.',
    })
  })

  it.each([
    ['has no answer', null],
    ['has an answer of a proxy', { getBody: () => '<html>' }],
    ['has an answer without a body', { getBody: () => '' }],
    ['has another JSON', { getBody: () => '[]' }],
  ])('is nothing where it %s', async (_what, originalResponse) => {
    const error = Object.assign(new Error('broken'), { originalResponse })
    expect((await problemOf())?.(error)).toEqual({ code: 'network', detail: 'broken' })
  })
})

it('a parallel upload is started as the document shows it', async () => {
  const { startParallelUpload } = await runExample(
    exampleWith(DOCS, 'function startParallelUpload'),
    landfall.url,
  )
  const id = await ended((callbacks) =>
    startParallelUpload?.(FILE, () => landfall.token('parallel'), callbacks),
  )
  expect(await statusOf(landfall, 'parallel', id)).toMatchObject({ state: 'received', size: SIZE })
})

describe('the table of refusals', () => {
  const table = exampleTable()
  let server: Server
  let url: string
  let refusal = 0
  const asked: string[] = []

  beforeAll(async () => {
    server = createServer((request: IncomingMessage, response) => {
      asked.push(request.method ?? '')
      request.resume().on('end', () => {
        const headers: Record<string, string> = { 'Tus-Resumable': '1.0.0' }
        if (request.method === 'POST') response.writeHead(201, { ...headers, Location: `${url}/1` })
        else if (request.method === 'HEAD')
          response.writeHead(200, { ...headers, 'Upload-Offset': '0', 'Upload-Length': String(SIZE) })
        else response.writeHead(refusal, headers)
        response.end()
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/files`
  })
  afterAll(() => {
    server?.closeAllConnections()
    server?.close()
  })

  const does = () => (asked.filter((method) => method === 'PATCH').length > 1 ? 'retries' : 'shows')

  it('has the statuses that refuse bytes', () => {
    expect(table.length).toBeGreaterThan(10)
  })

  it.each(table.map((row) => [row.status, row['tus-js-client']]))(
    'says of %s that tus-js-client %s',
    async (status, expected) => {
      refusal = Number(status)
      asked.length = 0
      await ended((callbacks) => {
        const upload = new Upload(BYTES, { endpoint: url, retryDelays: [0, 0], ...callbacks })
        upload.start()
        return upload
      }).catch(() => {})
      expect(does()).toBe(expected)
    },
  )

  it.each(table.map((row) => [row.status, row.Uppy]))('says of %s that Uppy %s', async (status, expected) => {
    refusal = Number(status)
    asked.length = 0
    const uppy = new Uppy({ autoProceed: true }).use(Tus, { endpoint: url, retryDelays: [1, 1] })
    const failed = new Promise((resolve) => uppy.on('upload-error', resolve))
    uppy.addFile({ name: `${status}.mp4`, type: 'video/mp4', data: FILE as unknown as Blob })
    await failed
    expect(does()).toBe(expected)
  })
})

/** The rows between the markers in the document, by the heads of their columns. */
function exampleTable(): Record<string, string>[] {
  const text = readFileSync(join(import.meta.dirname, '..', '..', DOCS), 'utf8')
  const [, lines = ''] = /<!-- refusals -->\n([\s\S]*?)<!-- end of refusals -->/.exec(text) ?? []
  const [head = [], , ...rows] = lines
    .trim()
    .split('\n')
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
  return rows.map((cells) => Object.fromEntries(cells.map((cell, index) => [head[index] ?? '', cell])))
}

describe('what a file belongs to', () => {
  const example = () => runExample(exampleWith(DOCS, 'function startPostUpload'), landfall.url)

  it('is said and changed as the document shows it', async () => {
    const { startPostUpload, patchMedia } = await example()
    const getToken = () => landfall.token('poster')
    const post = { id: '42', title: 'Über den Wolken', campaign: 'spring' }
    const id = await ended((callbacks) => startPostUpload?.(FILE, post, getToken, callbacks))
    const { mediaId } = await statusOf(landfall, 'poster', id)
    const said = {
      attachedTo: { type: 'post', id: '42' },
      title: post.title,
      metadata: { campaign: 'spring' },
    }
    const media = await landfall.as('poster')(`/api/v1/media/${mediaId}`)
    expect(await media.json()).toMatchObject(said)
    const changes = { metadata: { approved: 'yes', campaign: null } }
    const patched = await patchMedia?.(mediaId, changes, getToken)
    expect(patched).toMatchObject({ ...said, metadata: { approved: 'yes' } })
    expect((patched as { metadata: object }).metadata).toEqual({ approved: 'yes' })
    await expect(patchMedia?.(mediaId, { titel: 'x' }, getToken)).rejects.toThrow('titel: is not known here')
  })

  it('is told of a file that Uppy sends', async () => {
    const uppy = new Uppy()
    uppy.use(Tus, {
      endpoint: `${landfall.url}/files`,
      headers: { Authorization: `Bearer ${landfall.token('uppy')}` },
    })
    const fileId = uppy.addFile({ name: 'clip.mp4', type: 'video/mp4', data: FILE as unknown as Blob })
    uppy.setFileMeta(fileId, { attachedToType: 'post', attachedToId: '42', own: 'Ü' })
    const result = await uppy.upload()
    const url = result?.successful?.[0]?.uploadURL
    const upload = await landfall.as('uppy')(`/api/v1/uploads/${idIn(url)}`)
    const { attachedTo, metadata } = (await upload.json()) as { attachedTo: unknown; metadata: object }
    expect(attachedTo).toEqual({ type: 'post', id: '42' })
    expect(metadata).toEqual({ own: 'Ü' })
  })
})
