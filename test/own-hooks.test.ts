import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { requires } from './services/requirements.ts'
import { curl } from './support/curl.ts'
import { exampleWith, runExample } from './support/doc-examples.ts'
import { moduleOf, says } from './support/hooks.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { slowly } from './support/pauses.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { startServerProcess } from './support/server-process.ts'
import { inTenant } from './support/tenant.ts'
import { create, idOf, metadataHeader } from './support/tus.ts'
import { tusJsUpload } from './support/tus-js-client.ts'
import {
  type Answer,
  type Received,
  type Receiver,
  SECRETS,
  startReceiver,
} from './support/webhook-receiver.ts'

const ceph = requires('ceph')
const SIZE = 2000
const BYTES = asJpeg(Buffer.alloc(SIZE, 'x'))

/** As `server`, whatever port it is told to listen on. */
function onAnyPort(server: Server): Server {
  const listen = server.listen.bind(server)
  return Object.assign(server, { listen: (_port: number, host: string) => listen(0, host) })
}

type Question = { upload: Record<string, unknown> } & Record<string, unknown>
const questionOf = (message: Received | undefined) => message?.data as Question | undefined

const problemOf = async (response: Response) => {
  const { status, code, detail } = (await response.json()) as Record<string, unknown>
  return { answered: response.status, status, code, detail }
}

const uploadOf = async (landfall: Landfall, sub: string, id: string) =>
  (await (await landfall.as(sub)(`/api/v1/uploads/${id}`)).json()) as Record<string, unknown>

async function countOf(landfall: Landfall): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*)::int as count from landfall.uploads`.execute(
    landfall.db,
  )
  return rows[0]?.count ?? 0
}

describe('a hook by HTTP', () => {
  let receiver: Receiver
  let landfall: Landfall
  beforeAll(async () => {
    receiver = await startReceiver()
    landfall = inTenant(
      await startLandfall({
        withoutWorker: true,
        ...(ceph.met ? { storage: 's3' as const } : {}),
        env: {
          HOOK_URL: receiver.url,
          // The receiver checks a signature for each.
          HOOK_SECRET: SECRETS.join(','),
          HOOK_TIMEOUT: '700ms',
          UPLOAD_MAX_OPEN: '1000',
          AUTH_TENANT: 'optional',
        },
      }),
      null,
    )
  })
  afterEach(() => {
    receiver.answer = says({})
    receiver.received.length = 0
  })
  afterAll(async () => {
    await landfall?.close()
    await receiver?.close()
  })

  const begin = (metadata: Record<string, string> = {}, size = SIZE) =>
    create(landfall, 'alice', { size, metadata: { filename: 'a.jpg', ...metadata } })
  const asJson = (body: object): RequestInit => ({
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  })

  it('is asked about what the client says, and by whom', async () => {
    const acme = inTenant(landfall, 'acme')
    const answer = await create(acme, 'alice', {
      size: SIZE,
      metadata: {
        filename: 'Bild.jpg',
        filetype: 'image/jpeg',
        order: '7',
        title: 'A picture',
        attachedToType: 'course',
        attachedToId: '9',
        captions: 'en,de',
      },
      headers: { 'User-Agent': 'a-client/1', Origin: 'https://app.example.org' },
    })
    expect(answer.status).toBe(201)
    const [asked] = receiver.received
    const id = idOf(answer)
    expect(asked?.type).toBe('pre-create')
    expect(asked?.id).toBe(`pre-create_${id}`)
    expect(asked?.data).toEqual({
      upload: {
        id,
        size: SIZE,
        filename: 'Bild.jpg',
        contentType: 'image/jpeg',
        attachedTo: { type: 'course', id: '9' },
        title: 'A picture',
        description: null,
        captions: ['en', 'de'],
        metadata: { order: '7' },
        isPartial: false,
        protocol: 'tus-1.0',
      },
      owner: { id: 'alice', tenantId: 'acme' },
      ticketId: null,
      client: { address: '127.0.0.1', userAgent: 'a-client/1', origin: 'https://app.example.org' },
    })
  })

  const WAYS: Record<string, () => Promise<Response>> = {
    tus: () => begin(),
    'tus with its bytes': () =>
      create(landfall, 'alice', { size: SIZE, metadata: { filename: 'a.jpg' }, body: BYTES }),
    'a partial upload': () =>
      create(landfall, 'alice', { size: SIZE, headers: { 'Upload-Concat': 'partial' } }),
    'the IETF draft': () =>
      landfall.as('alice')('/files', {
        method: 'POST',
        headers: {
          'Upload-Draft-Interop-Version': '6',
          'Upload-Complete': '?1',
          'Content-Type': 'image/jpeg',
          'Content-Disposition': 'attachment; filename="a.jpg"',
        },
        body: new Uint8Array(BYTES),
      }),
    'a form': () => {
      const form = new FormData()
      form.append('file', new Blob([new Uint8Array(BYTES)], { type: 'image/jpeg' }), 'a.jpg')
      return landfall.as('alice')('/api/v1/media', { method: 'POST', body: form })
    },
    'a body': () =>
      landfall.as('alice')('/api/v1/media', {
        method: 'POST',
        headers: { 'Content-Type': 'image/jpeg' },
        body: new Uint8Array(BYTES),
      }),
    ...(ceph.met
      ? {
          'a direct upload': () =>
            landfall.as('alice')('/api/v1/direct-uploads', asJson({ size: SIZE, filename: 'a.jpg' })),
          'a form to the bucket': () =>
            landfall.as('alice')('/api/v1/direct-uploads/s3/params?filename=a.jpg'),
        }
      : {}),
  }

  it.each(Object.entries(WAYS))('refuses %s with its status and message', async (_way, ask) => {
    receiver.answer = says({ refuse: { status: 402, message: 'Your trial is over – pay first.' } })
    const before = await countOf(landfall)
    const answer = await ask()
    expect(await problemOf(answer)).toEqual({
      answered: 402,
      status: 402,
      code: 'refused-by-hook',
      detail: 'Your trial is over – pay first.',
    })
    expect(await countOf(landfall)).toBe(before)
    receiver.answer = says({})
    expect((await ask()).ok).toBe(true)
  })

  it('refuses a final upload, whose partials stay', async () => {
    const partials = await Promise.all(
      [1, 2].map(() => create(landfall, 'alice', { size: 1000, headers: { 'Upload-Concat': 'partial' } })),
    )
    const concat = () =>
      landfall.as('alice')('/files', {
        method: 'POST',
        headers: {
          'Tus-Resumable': '1.0.0',
          'Upload-Concat': `final;${partials.map((one) => one.headers.get('Location')).join(' ')}`,
          'Upload-Metadata': metadataHeader({ filename: 'whole.jpg' }),
        },
      })
    receiver.answer = says({ refuse: { message: 'No.' } })
    expect(await problemOf(await concat())).toMatchObject({ answered: 403, code: 'refused-by-hook' })
    receiver.answer = says({ filename: 'renamed.jpg' })
    const whole = await concat()
    expect(whole.status).toBe(201)
    expect(await uploadOf(landfall, 'alice', idOf(whole))).toMatchObject({ filename: 'renamed.jpg' })
    expect(questionOf(receiver.received.at(-1))?.upload).toMatchObject({ size: null, filename: 'whole.jpg' })
  })

  it('shows its message in tus-js-client, which does not try again', async () => {
    receiver.answer = says({ refuse: { status: 422, message: 'Only on Tuesdays.' } })
    const { upload, requests, finished } = tusJsUpload(landfall, 'alice', BYTES, { retryDelays: [1, 1, 1] })
    upload.start()
    await expect(finished).rejects.toThrow(/response code: 422.*Only on Tuesdays\./s)
    expect(requests).toEqual(['POST → 422'])
  })

  it('shows its message in curl', async () => {
    receiver.answer = says({ refuse: { message: 'Only on Tuesdays.' } })
    const bearer = ['-H', `Authorization: Bearer ${landfall.token('alice')}`]
    const { status, body } = await curl([
      ...bearer,
      '-F',
      'file=a;filename=a.jpg',
      `${landfall.url}/api/v1/media`,
    ])
    expect(status).toBe(403)
    expect(body.toString()).toContain('Only on Tuesdays.')
  })

  it('renames, describes, attaches and sets metadata', async () => {
    receiver.answer = says({
      filename: 'order-7.jpg',
      metadata: { row: '5', order: null, kept: 'by the hook' },
      attachedTo: { type: 'order', id: '7' },
      title: 'Order 7',
      description: 'ü',
      captions: ['de'],
    })
    const answer = await begin({ order: '7', kept: 'by the client', other: 'x', name: 'other.jpg' })
    expect(await uploadOf(landfall, 'alice', idOf(answer))).toMatchObject({
      filename: 'order-7.jpg',
      metadata: { row: '5', kept: 'by the hook', other: 'x' },
      attachedTo: { type: 'order', id: '7' },
      title: 'Order 7',
      description: 'ü',
      captions: ['de'],
    })
    receiver.answer = says({ title: null, attachedTo: null, captions: null })
    const bare = await begin({ title: 'x', attachedToType: 'a', attachedToId: '1', captions: 'en' })
    expect(await uploadOf(landfall, 'alice', idOf(bare))).toMatchObject({
      title: null,
      attachedTo: null,
      captions: null,
    })
  })

  it('attaches also where the token of the client may not', async () => {
    const token = landfall.token('carol', { attach: ['course:1'] })
    receiver.answer = says({ attachedTo: { type: 'order', id: '7' } })
    const answer = await fetch(`${landfall.url}/files`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Tus-Resumable': '1.0.0', 'Upload-Length': String(SIZE) },
    })
    expect(answer.status).toBe(201)
    expect(await uploadOf(landfall, 'carol', idOf(answer))).toMatchObject({
      attachedTo: { type: 'order', id: '7' },
    })
  })

  it('limits size and types of one upload, beside those of its ticket', async () => {
    receiver.answer = says({ limits: { maxSize: 1500 } })
    expect(await problemOf(await begin())).toMatchObject({ answered: 413, code: 'too-large' })
    const deferred = await landfall.as('alice')('/files', {
      method: 'POST',
      headers: { 'Tus-Resumable': '1.0.0', 'Upload-Defer-Length': '1' },
    })
    expect(deferred.status).toBe(201)
    const declared = await landfall.as('alice')(`/files/${idOf(deferred)}`, {
      method: 'PATCH',
      headers: {
        'Tus-Resumable': '1.0.0',
        'Content-Type': 'application/offset+octet-stream',
        'Upload-Offset': '0',
        'Upload-Length': '1600',
      },
      body: new Uint8Array(BYTES.subarray(0, 100)),
    })
    expect(await problemOf(declared)).toMatchObject({ answered: 413, code: 'too-large' })
    receiver.answer = says({ limits: { allowedTypes: ['video/*'] } })
    expect(await problemOf(await begin({ filetype: 'image/jpeg' }))).toMatchObject({
      answered: 415,
      code: 'type-not-allowed',
    })
    // What the first bytes are is known later.
    const unnamed = await create(landfall, 'alice', { size: SIZE, body: BYTES })
    expect(await problemOf(unnamed)).toMatchObject({ answered: 415, code: 'type-not-allowed' })

    const issued = await inTenant(landfall, null, 'service').as('app')(
      '/api/v1/tickets',
      asJson({ owner: 'alice', count: 5, allowedTypes: ['image/*'], maxSize: 5000 }),
    )
    const { token, id } = (await issued.json()) as { token: string; id: string }
    const byTicket = (size: number, filetype: string) =>
      fetch(`${landfall.url}/files`, {
        method: 'POST',
        headers: {
          Authorization: `Bearer ${token}`,
          'Tus-Resumable': '1.0.0',
          'Upload-Length': String(size),
          'Upload-Metadata': metadataHeader({ filetype }),
        },
      })
    receiver.answer = says({ limits: { allowedTypes: ['image/png', 'video/mp4'], maxSize: 1_000_000 } })
    expect((await byTicket(4000, 'image/png')).status).toBe(201)
    expect((await byTicket(4000, 'image/jpeg')).status).toBe(415)
    expect((await byTicket(4000, 'video/mp4')).status).toBe(415)
    expect((await byTicket(6000, 'image/png')).status).toBe(413)
    expect(questionOf(receiver.received.at(-2))?.ticketId).toBe(id)
    receiver.answer = says({ limits: { allowedTypes: ['video/*'] } })
    expect(await problemOf(await byTicket(4000, 'image/png'))).toMatchObject({ code: 'type-not-allowed' })
  })

  it("sets the owner's quota, from this upload on", async () => {
    const dave = (size: number) => create(landfall, 'dave', { size, metadata: { filename: 'a.jpg' } })
    receiver.answer = says({ quota: { bytes: 3000, uploads: 2 } })
    expect((await dave(2000)).status).toBe(201)
    receiver.answer = says({})
    expect(await problemOf(await dave(2000))).toMatchObject({ answered: 413, code: 'quota-bytes-exceeded' })
    receiver.answer = says({ quota: { bytes: null } })
    expect((await dave(2000)).status).toBe(201)
    receiver.answer = says({})
    expect(await problemOf(await dave(2000))).toMatchObject({ code: 'quota-uploads-exceeded' })
    expect((await begin()).status).toBe(201)
  })

  it('is not asked about what would be refused anyway', async () => {
    expect((await begin({ filetype: 'text/html' })).status).toBe(415)
    expect((await begin({ attachedToType: 'A b' })).status).toBe(400)
    expect((await create({ ...landfall, token: () => 'none' }, 'alice', { size: SIZE })).status).toBe(401)
    expect(receiver.received).toEqual([])
  })

  it('creates nothing for a client that has left while it was asked', async () => {
    const before = await countOf(landfall)
    const leaving = new AbortController()
    receiver.answer = async (response) => {
      leaving.abort()
      await slowly(100)
      response.end('{}')
    }
    await expect(
      landfall.as('alice')('/files', {
        method: 'POST',
        headers: { 'Tus-Resumable': '1.0.0', 'Upload-Length': String(SIZE) },
        signal: leaving.signal,
      }),
    ).rejects.toThrow()
    await slowly(300)
    expect(await countOf(landfall)).toBe(before)
  })

  const NO_ANSWERS: [string, Answer][] = [
    ['500', says('oops', 500)],
    ['403 without a decision', says('forbidden', 403)],
    ['a redirect', (response) => void response.writeHead(302, { Location: '/' }).end()],
    ['nothing in time', () => {}],
    [
      'half of an answer',
      (response) => void response.writeHead(200, { 'Content-Length': '50' }).write('{"filen'),
    ],
    ['a hang-up', (response) => void response.destroy()],
    ['HTML', says('<h1>Welcome</h1>')],
    ['a list', says([])],
    ['a text', says('"yes"')],
    ['a member that does not exist', says({ metdata: {} })],
    ['a status that is no refusal', says({ refuse: { status: 200, message: 'ok' } })],
    ['a refusal without a message', says({ refuse: {} })],
    ['too much', says({ title: 'x', metadata: Object.fromEntries([['a', 'x'.repeat(100_000)]]) })],
    ['metadata beyond its limits', says({ metadata: { ['k'.repeat(500)]: 'x' } })],
    ['a key that has a member of its own', says({ metadata: { filename: 'x.jpg' } })],
    ['an attachment that is none', says({ attachedTo: { type: 'A B', id: '1' } })],
    ['types that do not exist', says({ limits: { allowedTypes: ['image/imaginary'] } })],
    ['a negative limit', says({ limits: { maxSize: -1 } })],
  ]
  it.each(NO_ANSWERS)('that answers %s is asked again, and nothing is created', async (_what, answer) => {
    receiver.answer = answer
    const before = await countOf(landfall)
    const refused = await begin()
    expect(refused.headers.get('Retry-After')).toBe('5')
    expect(await problemOf(refused)).toMatchObject({ answered: 503, code: 'hook-unavailable' })
    expect(await countOf(landfall)).toBe(before)
    receiver.answer = says({})
    const { upload, finished, requests } = tusJsUpload(landfall, 'alice', BYTES, {
      retryDelays: [1, 1],
      metadata: { filename: 'a.jpg' },
    })
    receiver.answer = (response, message, earlier) =>
      (earlier.length < 3 ? answer : says({}))(response, message, earlier)
    upload.start()
    await finished
    expect(requests.at(-1)).toContain('PATCH')
  })

  describe('where uploads are accepted without it', () => {
    let lenient: Landfall
    beforeAll(async () => {
      lenient = await startLandfall({
        withoutWorker: true,
        env: {
          HOOK_URL: receiver.url,
          HOOK_SECRET: SECRETS.join(','),
          HOOK_TIMEOUT: '300ms',
          HOOK_UNAVAILABLE: 'allow',
          UPLOAD_MAX_OPEN: '1000',
        },
      })
    })
    afterAll(() => lenient?.close())

    it.each(NO_ANSWERS)('accepts an upload as it is after %s', async (_what, answer) => {
      receiver.answer = answer
      const created = await create(lenient, 'alice', { size: SIZE, metadata: { filename: 'a.jpg', a: 'b' } })
      expect(created.status).toBe(201)
      expect(await uploadOf(lenient, 'alice', idOf(created))).toMatchObject({
        filename: 'a.jpg',
        metadata: { a: 'b' },
      })
    })

    it('refuses what it refuses', async () => {
      receiver.answer = says({ refuse: { message: 'No.' } })
      expect((await create(lenient, 'alice', { size: SIZE })).status).toBe(403)
    })
  })
})

describe('a module of hooks', () => {
  async function withHooks(source: string, env: Record<string, string> = {}): Promise<Landfall> {
    const path = await moduleOf(source)
    const landfall = await startLandfall({
      withoutWorker: true,
      env: { HOOKS: path, HOOK_TIMEOUT: '300ms', UPLOAD_MAX_OPEN: '100', ...env },
    })
    onTestFinished(() => landfall.close())
    return landfall
  }
  const begin = (landfall: Landfall, filename: string) =>
    create(landfall, 'alice', { size: SIZE, metadata: { filename } })

  it('decides as one by HTTP does, and what it throws is no decision', async () => {
    const landfall = await withHooks(`
      type Question = { upload: { filename: string | null } }
      export default {
        async preCreate({ upload }: Question, { signal }: { signal: AbortSignal }) {
          const { filename } = upload
          upload.filename = 'changed in place'
          if (filename === 'refused.jpg') return { refuse: { status: 409, message: 'Not now.' } }
          if (filename === 'renamed.jpg') return { filename: 'new.jpg' }
          if (filename === 'thrown.jpg') throw new Error('of the module')
          if (filename === 'silent.jpg') return await new Promise<undefined>(() => {})
          if (filename === 'nonsense.jpg') return 7
          if (!(signal instanceof AbortSignal)) throw new Error('no signal')
        },
      }`)
    expect(await problemOf(await begin(landfall, 'refused.jpg'))).toMatchObject({
      answered: 409,
      detail: 'Not now.',
    })
    const renamed = await begin(landfall, 'renamed.jpg')
    expect(await uploadOf(landfall, 'alice', idOf(renamed))).toMatchObject({ filename: 'new.jpg' })
    const plain = await begin(landfall, 'plain.jpg')
    expect(await uploadOf(landfall, 'alice', idOf(plain))).toMatchObject({ filename: 'plain.jpg' })
    for (const name of ['thrown.jpg', 'silent.jpg', 'nonsense.jpg'])
      expect(await problemOf(await begin(landfall, name))).toMatchObject({
        answered: 503,
        code: 'hook-unavailable',
      })
  })

  it('is asked after that by HTTP, about what that has changed', async () => {
    const receiver = await startReceiver(says({ filename: 'by-http.jpg', metadata: { a: '1' } }))
    onTestFinished(() => receiver.close())
    const landfall = await withHooks(
      `export default {
        preCreate: ({ upload }) => ({ title: upload.filename, metadata: { b: upload.metadata.a } }),
      }`,
      { HOOK_URL: receiver.url, HOOK_SECRET: SECRETS.join(',') },
    )
    const created = await begin(landfall, 'a.jpg')
    expect(await uploadOf(landfall, 'alice', idOf(created))).toMatchObject({
      filename: 'by-http.jpg',
      title: 'by-http.jpg',
      metadata: { a: '1', b: '1' },
    })
  })

  it.each([
    ['is not there', undefined, /could not be loaded/],
    ['does not parse', 'export default {', /could not be loaded/],
    ['throws', 'throw new Error("of the module")', /could not be loaded: of the module/],
    ['exports nothing', 'export const preCreate = () => {}', /no default export/],
    ['has a hook that does not exist', 'export default { precreate() {} }', /"precreate".*preCreate/],
    ['has a hook that is none', 'export default { preCreate: true }', /"preCreate".*no function/],
  ])('that %s stops the start', async (_what, source, message) => {
    const path = source === undefined ? '/nowhere/my-hooks.ts' : await moduleOf(source)
    await expect(startLandfall({ withoutWorker: true, env: { HOOKS: path } })).rejects.toThrow(message)
  })

  it('is the example of the documents, which does what they say', async () => {
    const { code } = exampleWith('docs/hooks.md', 'guest-')
    const landfall = await withHooks(code)
    const unnamed = await create(landfall, 'alice', { size: SIZE })
    expect(await problemOf(unnamed)).toMatchObject({ answered: 422, detail: 'The file has no name.' })
    const guest = (filename: string, size: number) =>
      create(landfall, 'guest-1', { size, metadata: { filename } })
    expect((await guest('a.jpg', 11_000_000)).status).toBe(413)
    expect((await guest('a.mp4', SIZE)).status).toBe(415)
    expect((await guest('a.jpg', SIZE)).status).toBe(201)
    const named = await create(landfall, 'alice', {
      size: SIZE,
      metadata: { filename: 'a.jpg' },
      headers: { 'User-Agent': 'a-client/1' },
    })
    expect(await uploadOf(landfall, 'alice', idOf(named))).toMatchObject({
      metadata: { sentFrom: 'a-client/1' },
    })
  })

  it('is loaded by the server as it is started, and a start without it says why in one line', async () => {
    const path = await moduleOf(`
      type Question = { upload: { filename: string | null } }
      export default {
        preCreate: ({ upload }: Question) => ({ refuse: { message: 'Not ' + upload.filename } }),
      }`)
    const server = await startServerProcess({ HOOKS: path })
    onTestFinished(() => server.stop())
    expect(
      await problemOf(await create(server, 'alice', { size: SIZE, metadata: { filename: 'a.jpg' } })),
    ).toMatchObject({
      detail: 'Not a.jpg',
    })
  })

  it('by HTTP is the example of the documents', async () => {
    const { startHooks } = await runExample(exampleWith('docs/hooks.md', 'startHooks'), '', {
      // On a port of its own, so that another test may have that of the example.
      'node:http': { createServer: (handle: RequestListener) => onAnyPort(createServer(handle)) },
    })
    const server = startHooks?.(SECRETS[0]) as Server
    onTestFinished(() => void server.close())
    if (!server.listening) await once(server, 'listening')
    const landfall = await startLandfall({
      withoutWorker: true,
      env: {
        HOOK_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
        HOOK_SECRET: SECRETS[0] ?? '',
      },
    })
    onTestFinished(() => landfall.close())
    const unnamed = await create(landfall, 'alice', { size: SIZE })
    expect(await problemOf(unnamed)).toMatchObject({ answered: 422, detail: 'The file has no name.' })
    expect((await begin(landfall, 'a.jpg')).status).toBe(201)
  })

  it('needs a secret where it is asked by HTTP', async () => {
    await expect(
      startLandfall({ withoutWorker: true, env: { HOOK_URL: 'http://127.0.0.1:9/' } }),
    ).rejects.toThrow(/HOOK_SECRET/)
  })
})
