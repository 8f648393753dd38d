import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Metadata } from '../ledger/description.ts'
import { READ_KEYS } from '../ledger/metadata-keys.ts'
import { requires } from './services/requirements.ts'
import { beginBucketForm, postBucketForm } from './support/bucket-forms.ts'
import { readEvents, type StreamEvent } from './support/event-reader.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { asMp4 } from './support/sample-bytes.ts'
import { create, head, idOf, metadataHeader, patch } from './support/tus.ts'
import { type Receiver, SECRETS, startReceiver } from './support/webhook-receiver.ts'
import { openSocket } from './support/websocket.ts'

const BYTES = asMp4(Buffer.alloc(2000, 'a frame'))

/** What an application may call its own. */
const OWN: Metadata = {
  postId: '42',
  'user-name': 'Zoë 漢字 🎬👨‍👩‍👧',
  constructor: 'mine',
  toString: 'mine as well',
  hasOwnProperty: 'ä',
  '7': 'a number',
  blanks: '  two  ',
  lines: 'one\r\ntwo\t\u0001',
  bom: '\uFEFFtext',
  long: 'é'.repeat(2048),
  json: '{"a":"\\u0000"}',
  flag: null,
}
const FILE = { filename: 'Übung.mp4', name: 'other', filetype: 'video/mp4', type: 'video/mp4' }
const DESCRIPTION = {
  attachedToType: 'course-video',
  attachedToId: 'Ünit 7/é🎬',
  title: 'A <b>title</b> 🎬',
  description: 'Line one\nline two',
  captions: 'de, pt-BR,zh-Hant',
}
const DESCRIBED = {
  attachedTo: { type: 'course-video', id: 'Ünit 7/é🎬' },
  title: DESCRIPTION.title,
  description: DESCRIPTION.description,
  captions: ['de', 'pt-BR', 'zh-Hant'],
  metadata: OWN,
}

const headerOf = (metadata: Metadata): string =>
  Object.entries(metadata)
    .map(([key, value]) => (value === null ? key : `${key} ${Buffer.from(value).toString('base64')}`))
    .join(',')

const HEADER = headerOf({ ...FILE, ...OWN, ...DESCRIPTION })

const ceph = requires('ceph')

let landfall: Landfall
let receiver: Receiver
beforeAll(async () => {
  receiver = await startReceiver()
  landfall = await startLandfall({
    // Which has every way in.
    storage: ceph.met ? 's3' : 'disk',
    env: {
      UPLOAD_MAX_OPEN: '10000',
      UPLOAD_MIN_SIZE: '0',
      WEBHOOK_URL: receiver.url,
      WEBHOOK_SECRET: SECRETS.join(' '),
      WEBHOOK_ALLOW_PRIVATE: 'true',
    },
  })
})
afterAll(async () => {
  await landfall?.close()
  await receiver?.close()
})

type Json = Record<string, unknown>
const json = async (path: string): Promise<Json> => (await (await landfall.as('alice')(path)).json()) as Json
const uploadOf = (id: string) => json(`/api/v1/uploads/${id}`)

const describedOf = ({ attachedTo, title, description, captions, metadata }: Json) => ({
  attachedTo,
  title,
  description,
  captions,
  metadata,
})

async function eventsOf(id: string): Promise<StreamEvent[]> {
  const events: StreamEvent[] = []
  for await (const event of readEvents(landfall, 'alice', id)) if (event.event === 'state') events.push(event)
  return events
}

/** Checks that all who are told of a finished upload are told the same as its client has said. */
async function expectTold(id: string, own: Metadata = OWN, more: object = {}): Promise<void> {
  const described = { ...DESCRIBED, metadata: own, ...more }
  const upload = await uploadOf(id)
  expect(describedOf(upload)).toEqual(described)
  expect(describedOf(await json(`/api/v1/media/${upload.mediaId}`))).toEqual(described)
  const events = await eventsOf(id)
  expect(events.map(({ data }) => data.type)).toContain('upload.received')
  expect(events.length).toBeGreaterThan(2)
  for (const { data } of events) {
    expect([data.type, data.attachedTo, data.metadata]).toEqual([data.type, DESCRIBED.attachedTo, own])
  }
  const { events: messages, closed } = await openSocket(landfall, 'alice', `/api/v1/uploads/${id}/ws`)
  expect(await closed).toBe(1000)
  expect(messages.filter(({ event }) => event === 'state').map(({ data }) => data)).toEqual(
    events.map(({ data }) => data),
  )
  const told = () => receiver.distinct().filter(({ uploadId }) => uploadId === id)
  await receiver.until(() => told().length >= 2)
  for (const { data } of told()) expect(describedOf(data)).toEqual(described)
}

const draft = (headers: Record<string, string>, body?: Uint8Array) =>
  landfall.as('alice')('/files', {
    method: 'POST',
    headers: { 'Upload-Draft-Interop-Version': '8', 'Upload-Metadata': HEADER, ...headers },
    body: body as BodyInit,
  })

const tus = (headers: Record<string, string>, size: number, body?: Uint8Array) =>
  create(landfall, 'alice', {
    size,
    headers: { 'Upload-Metadata': HEADER, ...headers },
    ...(body && { body }),
  })

describe('what an application says at the creation of an upload', () => {
  it('comes back from all who tell of it, by tus', async () => {
    const id = idOf(await tus({}, BYTES.length))
    expect(describedOf(await uploadOf(id))).toEqual(DESCRIBED)
    expect((await head(landfall, 'alice', id)).headers.get('Upload-Metadata')).toBe(HEADER)
    expect((await patch(landfall, 'alice', id, { offset: 0, body: BYTES })).status).toBe(204)
    await expectTold(id)
  })

  it('by tus with the bytes in the creation', async () => {
    await expectTold(idOf(await tus({}, BYTES.length, BYTES)))
  })

  it('by tus with a length that is declared later', async () => {
    const answer = await landfall.as('alice')('/files', {
      method: 'POST',
      headers: { 'Tus-Resumable': '1.0.0', 'Upload-Defer-Length': '1', 'Upload-Metadata': HEADER },
    })
    const id = idOf(answer)
    const headers = { 'Upload-Length': String(BYTES.length) }
    expect((await patch(landfall, 'alice', id, { offset: 0, body: BYTES, headers })).status).toBe(204)
    await expectTold(id)
  })

  it('by tus for an empty file', async () => {
    const id = idOf(await tus({}, 0))
    expect((await patch(landfall, 'alice', id, { offset: 0, body: Buffer.alloc(0) })).status).toBe(204)
    await expectTold(id)
  })

  it('by tus for a final upload, and not what its partials say', async () => {
    const half = BYTES.length / 2
    const partial = async (body: Uint8Array, note: string) => {
      const metadata = metadataHeader({ note, attachedToType: 'part', attachedToId: note })
      const id = idOf(await tus({ 'Upload-Concat': 'partial', 'Upload-Metadata': metadata }, half, body))
      expect(await uploadOf(id)).toMatchObject({ attachedTo: { type: 'part', id: note }, metadata: { note } })
      return `/files/${id}`
    }
    const partials = [await partial(BYTES.subarray(0, half), 'a'), await partial(BYTES.subarray(half), 'b')]
    const final = await landfall.as('alice')('/files', {
      method: 'POST',
      headers: {
        'Tus-Resumable': '1.0.0',
        'Upload-Concat': `final;${partials.join(' ')}`,
        'Upload-Metadata': HEADER,
      },
    })
    await expectTold(idOf(final))
  })

  it('by the IETF draft in one request, and in several', async () => {
    await expectTold(idOf(await draft({ 'Upload-Complete': '?1' }, BYTES)))
    const id = idOf(await draft({ 'Upload-Complete': '?0' }))
    const rest = await landfall.as('alice')(`/files/${id}`, {
      method: 'PATCH',
      headers: {
        'Upload-Draft-Interop-Version': '8',
        'Upload-Complete': '?1',
        'Upload-Offset': '0',
        'Content-Type': 'application/partial-upload',
      },
      body: BYTES as BodyInit,
    })
    expect(rest.status).toBe(201)
    await expectTold(id)
  })

  it('by a form', async () => {
    const form = new FormData()
    // A form has no values of null.
    for (const [key, value] of Object.entries({ ...FILE, ...OWN, ...DESCRIPTION }))
      if (value !== null) form.set(key, value)
    form.set('file', new Blob([new Uint8Array(BYTES)]))
    const answer = await landfall.as('alice')('/api/v1/media', { method: 'POST', body: form })
    const { uploadId } = (await answer.json()) as { uploadId: string }
    const { flag: _, ...own } = OWN
    // HTML § constructing the entry list: clients write line breaks like this.
    await expectTold(uploadId, own, { description: 'Line one\r\nline two' })
  })

  it.skipIf(!ceph.met)('by a direct upload, of our own kind and of Uppy', async () => {
    const { attachedTo, title, description, captions } = DESCRIBED
    const body = (value: unknown) => ({
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(value),
    })
    const direct = '/api/v1/direct-uploads'
    const ask = async (path: string, init?: RequestInit) =>
      (await (await landfall.as('alice')(direct + path, init)).json()) as Json
    const { id } = await ask(
      '',
      body({
        ...{ size: BYTES.length, filename: FILE.filename, contentType: FILE.filetype },
        ...{ attachedTo, title, description, captions, metadata: OWN },
      }),
    )
    const { parts } = await ask(`/${id}/parts`, body({ partNumbers: [1] }))
    await fetch((parts as { url: string }[])[0]?.url ?? '', { method: 'PUT', body: BYTES })
    await ask(`/${id}/complete`, { method: 'POST' })
    await expectTold(String(id))

    const metadata = { ...FILE, ...OWN, ...DESCRIPTION }
    const begun = await ask('/s3/multipart', body({ filename: FILE.filename, type: FILE.filetype, metadata }))
    const at = `/s3/multipart/${begun.uploadId}`
    const { url } = await ask(`${at}/1?key=${begun.key}`)
    const sent = await fetch(String(url), { method: 'PUT', body: BYTES })
    const done = await ask(
      `${at}/complete?key=${begun.key}`,
      body({ parts: [{ PartNumber: 1, ETag: sent.headers.get('etag') }] }),
    )
    await expectTold(String(done.uploadId))

    const { flag: _, ...own } = OWN
    const texts = Object.entries({ ...FILE, ...own, ...DESCRIPTION })
    const query = new URLSearchParams([
      ['filename', FILE.filename],
      ...texts.map(([key, value]) => [`metadata[${key}]`, String(value)]),
    ])
    const form = await beginBucketForm(landfall.as('alice'), String(query))
    const { uploadId } = form
    await postBucketForm(form, BYTES)
    await ask(`/${uploadId}/complete`, { method: 'POST' })
    await expectTold(uploadId, own)
  })

  it('is told by webhooks as it was changed, with the state that the media item has', async () => {
    const id = idOf(await tus({}, BYTES.length, BYTES))
    const { mediaId } = await uploadOf(id)
    // It is no video.
    await eventsOf(id)
    const metadata = { flag: 'on', json: null, 'user-name': '🎬' }
    const changed = await landfall.as('alice')(`/api/v1/media/${mediaId}`, {
      method: 'PATCH',
      headers: { 'Content-Type': 'application/merge-patch+json' },
      body: JSON.stringify({ attachedTo: { type: 'post', id: '8' }, metadata }),
    })
    expect(changed.status).toBe(200)
    const { json: _, ...kept } = OWN
    const expected = { ...kept, flag: 'on', 'user-name': '🎬' }
    const update = () =>
      receiver.distinct().find((one) => one.uploadId === id && one.type === 'media.updated')
    await receiver.until(() => update() !== undefined)
    expect(describedOf(update()?.data ?? {})).toEqual({
      ...DESCRIBED,
      attachedTo: { type: 'post', id: '8' },
      metadata: expected,
    })
    expect(update()?.data).toMatchObject({
      id: mediaId,
      status: 'rejected',
      reason: { code: expect.any(String) },
    })
    expect(describedOf(await uploadOf(id))).toEqual(DESCRIBED)
  })

  it('is nothing where it says nothing', async () => {
    const nothing = { attachedTo: null, title: null, description: null, captions: null, metadata: {} }
    const id = idOf(
      await tus({ 'Upload-Metadata': headerOf({ ...FILE, title: 'null', captions: null }) }, 2000),
    )
    expect(describedOf(await uploadOf(id))).toEqual(nothing)
  })

  it('is in the list of uploads as well', async () => {
    const id = idOf(await tus({}, BYTES.length))
    const { items } = (await json('/api/v1/uploads')) as { items: Json[] }
    expect(describedOf(items.find((one) => one.id === id) ?? {})).toEqual(DESCRIBED)
  })

  it('is told byte for byte, whatever it is', async () => {
    const text = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 100 })
      .map((value) => value.replaceAll('\0', '').toWellFormed())
      .filter((value) => value !== '')
    const key = fc
      .stringMatching(/^[\x21-\x2b\x2d-\x7e]{1,128}$/)
      .filter((name) => name !== '__proto__' && !Object.hasOwn(READ_KEYS, name))
    await fc.assert(
      fc.asyncProperty(fc.dictionary(key, fc.option(text), { maxKeys: 20 }), async (given) => {
        const metadata: Metadata = Object.fromEntries(Object.entries(given))
        const id = idOf(await tus({ 'Upload-Metadata': headerOf(metadata) }, BYTES.length, BYTES))
        const upload = await uploadOf(id)
        expect(upload.metadata).toEqual(metadata)
        expect((await json(`/api/v1/media/${upload.mediaId}`)).metadata).toEqual(metadata)
      }),
      { numRuns: 40 },
    )
  })
})

describe('the limits of what it may say', () => {
  const many = (count: number, value: string) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`key${n}`, value]))

  it.each<[string, Metadata, string]>([
    ['64 keys', many(65, 'x'), '"key64"'],
    ['128 bytes of a key', { [`k${'x'.repeat(128)}`]: 'y' }, '128 bytes'],
    ['4096 bytes of a value', { note: 'é'.repeat(2049) }, '"note" is longer than 4096 bytes'],
    ['8192 bytes', many(3, 'x'.repeat(3000)), '8192 bytes, with "key2"'],
    ['a NUL', { note: 'a\0' }, '"note"'],
    ['an id without a type', { attachedToId: '7' }, '"attachedToType" is missing'],
    ['a type without an id', { attachedToType: 'post' }, '"attachedToId" is missing'],
    [
      'a type with a value of none',
      { attachedToType: 'null', attachedToId: '7' },
      '"attachedToType" is missing',
    ],
    ['a type in capitals', { attachedToType: 'Post', attachedToId: '7' }, '"attachedToType" takes'],
    ['a long type', { attachedToType: 'p'.repeat(65), attachedToId: '7' }, '"attachedToType" takes'],
    ['a long id', { attachedToType: 'post', attachedToId: '🎬'.repeat(256) }, '"attachedToId" takes'],
    ['an id that does not show', { attachedToType: 'post', attachedToId: '7\u202e' }, '"attachedToId" takes'],
    ['an id of blanks', { attachedToType: 'post', attachedToId: '  ' }, '"attachedToId" takes'],
    ['a long title', { title: 'é'.repeat(513) }, '"title" is longer than 1024 bytes'],
    ['a long description', { description: 'é'.repeat(4097) }, '"description" is longer than 8192 bytes'],
    ['captions that are no languages', { captions: 'de, what is this' }, '"captions" takes'],
    ['captions without a language', { captions: 'de,' }, '"captions" takes'],
    ['too many captions', { captions: Array(65).fill('de').join(',') }, '"captions" has more than 64'],
  ])('are named: %s', async (_what, metadata, detail) => {
    for (const answer of [
      await tus({ 'Upload-Metadata': headerOf(metadata) }, BYTES.length),
      await draft({ 'Upload-Complete': '?0', 'Upload-Metadata': headerOf(metadata) }),
    ]) {
      const problem = (await answer.json()) as Json
      expect([answer.status, problem.code]).toEqual([400, 'invalid-metadata'])
      expect(problem.detail).toContain(detail)
    }
  })

  it('refuse what could not be told as it was sent', async () => {
    for (const [header, detail] of [
      [`note ${Buffer.from([0xff, 0xfe]).toString('base64')}`, '"note" is not UTF-8'],
      ['__proto__ YQ==', '"__proto__"'],
    ] as const) {
      const answer = await tus({ 'Upload-Metadata': header }, BYTES.length)
      expect([answer.status, ((await answer.json()) as Json).detail]).toEqual([
        400,
        expect.stringContaining(detail),
      ])
    }
    // A name may be in any encoding, as it always could.
    const latin = `filename ${Buffer.from('Übung.mp4', 'latin1').toString('base64')}`
    expect((await tus({ 'Upload-Metadata': latin }, BYTES.length)).status).toBe(201)
  })

  it('can be used up', async () => {
    const metadata = {
      ...many(62, 'x'),
      attachedToType: 'p'.repeat(64),
      attachedToId: '🎬'.repeat(255),
    }
    const id = idOf(await tus({ 'Upload-Metadata': headerOf(metadata) }, BYTES.length))
    expect(await uploadOf(id)).toMatchObject({ metadata: many(62, 'x') })
  })
})
