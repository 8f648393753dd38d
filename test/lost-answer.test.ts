import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { Upload, type UploadOptions } from 'tus-js-client'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exampleWith, runExample } from './support/doc-examples.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { type Answer, OFFSET_STREAM, rawRequest, tusHeaders } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { statusOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { createId } from './support/tus.ts'

const SIZE = 2000
const BYTES = asJpeg(Buffer.alloc(SIZE, 'x'))

/** Headers that the last answer tells of what became of an upload, in either protocol. */
const OUTCOME = ['upload-media-id', 'link', 'upload-expires', 'upload-complete', 'upload-offset']

const outcomeOf = ({ headers }: Answer) =>
  Object.fromEntries(OUTCOME.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]]])))
const pathOf = ({ headers }: Answer) => new URL(headers.location ?? '', 'http://any').pathname

/** A line on which the first answer that names a media item is lost, with its connection. */
async function losingFirstOutcome(
  target: string,
): Promise<{ url: string; lost: () => number; close: () => void }> {
  const { hostname, port } = new URL(target)
  let lost = 0
  const line = createServer((client) => {
    const server = connect(Number(port), hostname)
    const cut = () => {
      client.destroy()
      server.destroy()
    }
    for (const socket of [client, server]) socket.on('error', cut).on('close', cut)
    client.pipe(server)
    server.on('data', (bytes: Buffer) => {
      if (lost > 0 || !/^upload-media-id:/im.test(bytes.toString('latin1'))) return void client.write(bytes)
      lost += 1
      cut()
    })
  })
  line.listen(0, '127.0.0.1')
  await once(line, 'listening')
  const { port: linePort } = line.address() as AddressInfo
  return { url: `http://127.0.0.1:${linePort}`, lost: () => lost, close: () => void line.close() }
}

describe('the example of the README', () => {
  it.each([
    ['one request', {}],
    ['several requests', { chunkSize: 800 }],
    ['the creation', { uploadDataDuringCreation: true, chunkSize: 800 }],
  ])('prints the media item of %s also where the last answer was lost', async (_what, more) => {
    const landfall = await startLandfall({ withoutWorker: true, env: { UPLOAD_MIN_SIZE: '0' } })
    const line = await losingFirstOutcome(landfall.url)
    try {
      class UploadWithMore extends Upload {
        constructor(source: Buffer, options: UploadOptions) {
          super(source, { ...options, ...more, retryDelays: [0, 100, 100] })
        }
      }
      const printed = await new Promise((resolve, reject) => {
        void runExample(exampleWith('README.md', 'new Upload('), line.url, {
          'tus-js-client': { Upload: UploadWithMore },
          file: Object.assign(Buffer.from(BYTES), { name: 'lost.jpg', type: 'image/jpeg' }),
          getToken: () => landfall.token('alice'),
          console: { log: resolve, error: reject },
        })
      })
      const { items } = (await (await landfall.as('alice')('/api/v1/media')).json()) as {
        items: { id: string }[]
      }
      expect(line.lost()).toBe(1)
      expect(items.map(({ id }) => id)).toContain(printed)
    } finally {
      line.close()
      await landfall.close()
    }
  })
})

/** What the last answer tells, a client that has lost it learns when it asks again. */
describeStorages('the outcome of an upload', (storage) => {
  let landfall: Landfall

  beforeAll(async () => {
    const env = { UPLOAD_MAX_OPEN: '1000', UPLOAD_MIN_SIZE: '0' }
    landfall = await startLandfall({ storage, withoutWorker: true, env })
  })
  afterAll(() => landfall?.close())

  const tus = (method: string, path: string, headers: Record<string, string> = {}, body?: Uint8Array) =>
    rawRequest(landfall, { method, path, headers: tusHeaders(landfall, 'alice', headers), body })
  const draft = (
    version: number,
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: Uint8Array,
  ) =>
    rawRequest(landfall, {
      method,
      path,
      headers: {
        Authorization: `Bearer ${landfall.token('alice')}`,
        'Upload-Draft-Interop-Version': String(version),
        ...headers,
      },
      body,
    })
  const bytesAt = (offset: number) => ({ 'Upload-Offset': String(offset), 'Content-Type': OFFSET_STREAM })

  /** Whatever is asked, at this node or another one, it tells what `last` told. */
  async function expectSameTold(path: string, last: Answer, size = SIZE): Promise<void> {
    const id = path.split('/').at(-1) ?? ''
    const { mediaId } = await statusOf(landfall, 'alice', id)
    expect(mediaId).toMatch(/^[\w-]{22}$/)
    expect(last.headers).toMatchObject({
      'upload-media-id': mediaId,
      link: `</api/v1/media/${mediaId}>; rel="describedby"`,
    })
    const told = outcomeOf(last)
    const seen = await tus('HEAD', path)
    expect([seen.status, outcomeOf(seen)]).toEqual([200, { ...told, 'upload-offset': String(size) }])
    const repeated = await tus('PATCH', path, { ...bytesAt(size), 'Content-Length': '0' })
    expect([repeated.status, outcomeOf(repeated)]).toEqual([204, { ...told, 'upload-offset': String(size) }])
    const another = await startLandfall({ withoutWorker: true, beside: landfall })
    try {
      const headers = tusHeaders(another, 'alice')
      expect(outcomeOf(await rawRequest(another, { method: 'HEAD', path, headers }))).toEqual(outcomeOf(seen))
    } finally {
      await another.close()
    }
  }

  it('by tus, of the last PATCH', async () => {
    const path = `/files/${await createId(landfall, 'alice', { size: SIZE })}`
    await expectSameTold(path, await tus('PATCH', path, bytesAt(0), BYTES))
  })

  it('by tus, of a creation with all bytes', async () => {
    const headers = { 'Upload-Length': String(SIZE), 'Content-Type': OFFSET_STREAM }
    const last = await tus('POST', '/files', headers, BYTES)
    await expectSameTold(pathOf(last), last)
  })

  it('by tus, of an empty file', async () => {
    const last = await tus('POST', '/files', { 'Upload-Length': '0' })
    await expectSameTold(pathOf(last), last, 0)
  })

  it('by tus, of a length that is declared at the end', async () => {
    const created = await tus('POST', '/files', { 'Upload-Defer-Length': '1' })
    const path = pathOf(created)
    await tus('PATCH', path, bytesAt(0), BYTES)
    const headers = { ...bytesAt(SIZE), 'Upload-Length': String(SIZE), 'Content-Length': '0' }
    await expectSameTold(path, await tus('PATCH', path, headers))
  })

  it('by tus, of a concatenation; of its partials it is their expiry', async () => {
    const partial = { 'Upload-Length': String(SIZE), 'Upload-Concat': 'partial' }
    const path = pathOf(await tus('POST', '/files', partial))
    const stored = await tus('PATCH', path, bytesAt(0), BYTES)
    expect(stored.headers['upload-expires']).toBeDefined()
    expect(outcomeOf(await tus('HEAD', path))).toEqual(outcomeOf(stored))
    const repeated = await tus('PATCH', path, { ...bytesAt(SIZE), 'Content-Length': '0' })
    expect(outcomeOf(repeated)).toEqual(outcomeOf(stored))

    const last = await tus('POST', '/files', { 'Upload-Concat': `final;${path}` })
    const seen = await tus('HEAD', pathOf(last))
    expect(last.headers['upload-media-id']).toMatch(/^[\w-]{22}$/)
    expect(outcomeOf(seen)).toEqual({ ...outcomeOf(last), 'upload-offset': String(SIZE) })
  })

  it('by tus, of a concatenation that its last partial completes', async () => {
    const partial = { 'Upload-Length': String(SIZE), 'Upload-Concat': 'partial' }
    const path = pathOf(await tus('POST', '/files', partial))
    const created = await tus('POST', '/files', { 'Upload-Concat': `final;${path}` })
    const waiting = await tus('HEAD', pathOf(created))
    expect(created.headers['upload-expires']).toBeDefined()
    expect(outcomeOf(waiting)).toEqual(outcomeOf(created))
    await tus('PATCH', path, bytesAt(0), BYTES)
    const { mediaId } = await statusOf(landfall, 'alice', pathOf(created).split('/').at(-1) ?? '')
    expect((await tus('HEAD', pathOf(created))).headers).toMatchObject({
      'upload-media-id': mediaId,
      link: `</api/v1/media/${mediaId}>; rel="describedby"`,
    })
  })

  it('by tus, of an upload that goes on: when it expires', async () => {
    const created = await tus('POST', '/files', { 'Upload-Length': String(SIZE) })
    const path = pathOf(created)
    expect((await tus('HEAD', path)).headers['upload-expires']).toBe(created.headers['upload-expires'])
    const stored = await tus('PATCH', path, bytesAt(0), BYTES.subarray(0, 500))
    expect(outcomeOf(await tus('HEAD', path))).toEqual(outcomeOf(stored))
  })

  describe.each([6, 8])('by version %i of the draft', (version) => {
    const PARTIAL = { 'Content-Type': 'application/partial-upload' }
    const expectDraftTold = async (path: string, last: Answer, size = SIZE) => {
      const told = { ...outcomeOf(last), 'upload-offset': String(size) }
      expect(last.status).toBe(201)
      expect(told).toMatchObject({
        'upload-media-id': (await statusOf(landfall, 'alice', path.split('/').at(-1) ?? '')).mediaId,
        link: expect.stringContaining('rel="describedby"'),
        'upload-complete': '?1',
      })
      for (const method of ['HEAD', 'GET']) {
        const seen = await draft(version, method, path)
        expect([seen.status, outcomeOf(seen)]).toEqual([204, told])
      }
      const headers = { ...PARTIAL, 'Upload-Offset': String(size), 'Upload-Complete': '?1' }
      const repeated = await draft(version, 'PATCH', path, { ...headers, 'Content-Length': '0' })
      expect(repeated.status).toBe(version === 6 ? 400 : 201)
      expect(outcomeOf(repeated)).toEqual(told)
    }

    it('of a creation with all bytes', async () => {
      const last = await draft(version, 'POST', '/files', { 'Upload-Complete': '?1' }, BYTES)
      await expectDraftTold(pathOf(last), last)
    })

    it('of an empty file', async () => {
      const last = await draft(version, 'POST', '/files', { 'Upload-Complete': '?1', 'Content-Length': '0' })
      await expectDraftTold(pathOf(last), last, 0)
    })

    it('of the last append', async () => {
      const created = await draft(version, 'POST', '/files', {
        'Upload-Complete': '?0',
        'Content-Length': '0',
      })
      const path = pathOf(created)
      const headers = { ...PARTIAL, 'Upload-Offset': '0', 'Upload-Complete': '?1' }
      await expectDraftTold(path, await draft(version, 'PATCH', path, headers, BYTES))
    })
  })

  it('is told by GET and HEAD of an open upload of the draft without its headers: the offset', async () => {
    const created = await draft(
      8,
      'POST',
      '/files',
      { 'Upload-Complete': '?0', 'Upload-Length': String(SIZE) },
      BYTES.subarray(0, 500),
    )
    const headers = { Authorization: `Bearer ${landfall.token('alice')}` }
    for (const method of ['GET', 'HEAD']) {
      const seen = await rawRequest(landfall, { method, path: pathOf(created), headers })
      expect([seen.status, seen.headers['upload-offset'], seen.headers['upload-complete']]).toEqual([
        204,
        '500',
        '?0',
      ])
    }
    const strange = await rawRequest(landfall, {
      method: 'GET',
      path: pathOf(created),
      headers: { Authorization: `Bearer ${landfall.token('mallory')}` },
    })
    expect(strange.status).toBe(404)
    // Once it is whole, GET is for the file.
    const rest = {
      'Content-Type': 'application/partial-upload',
      'Upload-Offset': '500',
      'Upload-Complete': '?1',
    }
    expect((await draft(8, 'PATCH', pathOf(created), rest, BYTES.subarray(500))).status).toBe(201)
    const file = await rawRequest(landfall, { method: 'GET', path: pathOf(created), headers })
    expect(file.status).toBe(409)
  })
})
