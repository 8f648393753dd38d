import fc from 'fast-check'
import { type RawBuilder, sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { METADATA_LIMITS } from '../hooks/description-limits.ts'
import type { MediaId } from '../ledger/ids.ts'
import { recordFacts } from '../ledger/media.ts'
import { READ_KEYS } from '../ledger/metadata-keys.ts'
import { readStream, type StreamEvent } from './support/event-reader.ts'
import { asMediaId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { asMp4 } from './support/sample-bytes.ts'
import { create, idOf } from './support/tus.ts'

type Json = Record<string, unknown>
type Changes = { headers?: Record<string, string>; sub?: string }

const BYTES = asMp4(Buffer.alloc(2000, 'a frame'))
const MERGE_PATCH = 'application/merge-patch+json'
const BEGAN_AS = {
  attachedToType: 'post',
  attachedToId: '1',
  title: 'Before',
  captions: 'de',
  a: '1',
  b: '2',
}

let landfall: Landfall
beforeAll(async () => {
  // Nothing but patches changes the media items.
  landfall = await startLandfall({ withoutWorker: true, env: { AUTH_ATTACH_CLAIM: 'attach' } })
  await landfall.db.insertInto('landfall.webhook_endpoints').values({ id: 'we_1', url: 'we_1' }).execute()
})
afterAll(() => landfall?.close())

/** A token that may attach files to anything that the tests name. */
const CLAIMS = { attach: ['post:*', 'course:7'] }
const token = (sub = 'alice') => landfall.token(sub, CLAIMS)

async function newMedia(metadata: Record<string, string> = BEGAN_AS): Promise<MediaId> {
  const target = { url: landfall.url, token: (sub: string) => token(sub) }
  const id = idOf(await create(target, 'alice', { size: BYTES.length, body: BYTES, metadata }))
  const { mediaId } = (await (await landfall.as('alice')(`/api/v1/uploads/${id}`)).json()) as {
    mediaId: string
  }
  return asMediaId(mediaId)
}

const mediaOf = async (id: string): Promise<Json> =>
  (await (await landfall.as('alice')(`/api/v1/media/${id}`)).json()) as Json

const patchRaw = (id: string, body: string | Uint8Array, { headers, sub }: Changes = {}) =>
  fetch(`${landfall.url}/api/v1/media/${id}`, {
    method: 'PATCH',
    headers: { Authorization: `Bearer ${token(sub)}`, 'Content-Type': MERGE_PATCH, ...headers },
    body: body as BodyInit,
  })

const patch = (id: string, changes: unknown, more?: Changes) => patchRaw(id, JSON.stringify(changes), more)

async function patched(id: string, changes: unknown): Promise<Json> {
  const response = await patch(id, changes)
  expect(response.status).toBe(200)
  const media = (await response.json()) as Json
  // Links are signed anew each time.
  expect({ ...media, contentUrl: null }).toEqual({ ...(await mediaOf(id)), contentUrl: null })
  return media
}

const eventsOf = async (id: MediaId) =>
  (
    await landfall.db
      .selectFrom('landfall.events')
      .select('type')
      .where('media_id', '=', id)
      .where('type', '=', 'media.updated')
      .execute()
  ).length

describe('a patch of a media item', () => {
  it('changes what it names, and leaves the rest', async () => {
    const id = await newMedia()
    const before = await mediaOf(id)
    expect(before).toMatchObject({
      attachedTo: { type: 'post', id: '1' },
      title: 'Before',
      description: null,
      captions: ['de'],
      metadata: { a: '1', b: '2' },
    })
    const changes = { description: 'Ünd 🎬\n', metadata: { b: null, c: '', constructor: 'x' } }
    expect(await patched(id, changes)).toEqual({
      ...before,
      description: 'Ünd 🎬\n',
      metadata: { a: '1', c: '', constructor: 'x' },
    })
    expect(
      await patched(id, { attachedTo: { type: 'course', id: '7' }, title: '', captions: [] }),
    ).toMatchObject({
      attachedTo: { type: 'course', id: '7' },
      title: '',
      captions: [],
    })
    expect(
      await patched(id, { attachedTo: null, title: null, description: null, captions: null, metadata: null }),
    ).toEqual({
      ...before,
      attachedTo: null,
      title: null,
      description: null,
      captions: null,
      metadata: {},
    })
  })

  it('is taken as JSON of either type, and as no other', async () => {
    const id = await newMedia()
    const as = (type: string) => patch(id, { title: type }, { headers: { 'Content-Type': type } })
    expect((await as('application/json; charset=utf-8')).status).toBe(200)
    const refused = await as('text/plain')
    expect([refused.status, ((await refused.json()) as Json).code]).toEqual([415, 'unsupported-content-type'])
  })

  it.each<[string, unknown, string]>([
    ['an unknown member', { titel: 'x' }, 'titel:'],
    ['the name of the file', { filename: 'x.mp4' }, 'filename:'],
    ['a fact', { status: 'ready' }, 'status:'],
    [
      'an unknown member of what it belongs to',
      { attachedTo: { type: 'post', id: '1', by: 'me' } },
      'attachedTo.by:',
    ],
    ['a number for a title', { title: 7 }, 'title:'],
    ['a number in the metadata', { metadata: { a: 7 } }, 'metadata.a:'],
    ['a list for metadata', { metadata: ['a'] }, 'metadata:'],
    ['a text for captions', { captions: 'de' }, 'captions:'],
    ['a number among captions', { captions: ['de', 7] }, 'captions.1:'],
    ['no id', { attachedTo: { type: 'post' } }, 'attachedTo.id:'],
    ['a type in capitals', { attachedTo: { type: 'Post', id: '1' } }, 'attachedTo.type:'],
    ['an id of half a character', { attachedTo: { type: 'post', id: '\ud83c' } }, 'attachedTo.id:'],
    ['a title that is too long', { title: 'é'.repeat(513) }, 'title: is longer than 1024 bytes'],
    [
      'a description that is too long',
      { description: 'é'.repeat(4097) },
      'description: is longer than 8192 bytes',
    ],
    ['a NUL', { title: 'a\0' }, 'title: contains a NUL'],
    ['half a character', { description: 'a\ud83c' }, 'description: contains half'],
    ['what is no language', { captions: ['what is this'] }, 'captions: takes language tags'],
    ['too many languages', { captions: Array(65).fill('de') }, 'captions: has more than 64'],
    [
      'a value that is too long',
      { metadata: { note: 'x'.repeat(4097) } },
      '"note" is longer than 4096 bytes',
    ],
    ['a key that is too long', { metadata: { ['k'.repeat(129)]: 'x' } }, 'longer than 128 bytes'],
    ['a key with a space', { metadata: { 'a b': 'x' } }, '"a b"'],
    ['a key that is removed with a NUL', { metadata: { 'a\0': null } }, 'is not allowed'],
    ['a key of another member', { metadata: { title: 'x' } }, '"title" is read by Landfall'],
    ['half a character in the metadata', { metadata: { a: '\udfff' } }, '"a" contains half'],
    ['a text', 'x', 'malformed'],
    ['a list', [], 'malformed'],
    ['null', null, 'malformed'],
  ])('is refused by the name of what is wrong: %s', async (_what, changes, detail) => {
    const id = await newMedia()
    const before = await mediaOf(id)
    const response = await patch(id, changes)
    const problem = (await response.json()) as Json
    expect([response.status, problem.code]).toEqual([400, 'invalid-request'])
    expect(problem.detail).toContain(detail)
    expect(String(problem.detail).length).toBeLessThan(400)
    expect({ ...(await mediaOf(id)), contentUrl: null }).toEqual({ ...before, contentUrl: null })
    expect(await eventsOf(id)).toBe(0)
  })

  it.each<[string, string | Uint8Array, string]>([
    ['no JSON', '{"title": ', 'not JSON'],
    ['nothing', '', 'not JSON'],
    ['JSON that is no UTF-8', Buffer.from('{"title":"\xff"}', 'latin1'), 'not JSON'],
    ['the prototype as a member', '{"__proto__": {"title": "x"}}', '__proto__'],
    ['the prototype as a key', '{"metadata": {"__proto__": "x"}}', '__proto__'],
    ['the prototype as a key to remove', '{"metadata": {"__proto__": null}}', '__proto__'],
  ])('is refused where its body is %s', async (_what, body, detail) => {
    const response = await patchRaw(await newMedia(), body)
    const problem = (await response.json()) as Json
    expect([response.status, problem.code]).toEqual([400, 'invalid-request'])
    expect(problem.detail).toContain(detail)
  })

  it('is not read where it is too large', async () => {
    expect((await patch(await newMedia(), { title: 'x'.repeat(300_000) })).status).toBe(413)
  })

  it('is refused where the metadata would be too large with it, by the name of the limit', async () => {
    const id = await newMedia({})
    const many = (from: number, count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, n) => [`key${from + n}`, 'x']))
    await patched(id, { metadata: many(0, 40) })
    const keys = await patch(id, { metadata: many(40, 30) })
    expect([keys.status, ((await keys.json()) as Json).detail]).toEqual([
      400,
      `metadata.key69: with it the metadata has 70 keys; the limit is ${METADATA_LIMITS.keys}.`,
    ])
    await patched(id, { metadata: { ...many(40, 24), key39: 'y' } })
    await patched(id, { metadata: null })
    await patched(id, { metadata: { a: 'x'.repeat(4000), b: 'é'.repeat(2000) } })
    const bytes = await patch(id, { metadata: { c: 'x'.repeat(190) } })
    expect([bytes.status, ((await bytes.json()) as Json).detail]).toEqual([
      400,
      `metadata.c: with it the metadata has 8193 bytes; the limit is ${METADATA_LIMITS.bytes}.`,
    ])
    await patched(id, { metadata: { c: 'x'.repeat(189) } })
  })

  it('is not refused for what an earlier release took, unless it adds to it', async () => {
    const id = await newMedia({})
    const long = { ['k'.repeat(200)]: 'x', big: 'x'.repeat(10_000) }
    await landfall.db
      .updateTable('landfall.media')
      .set({ metadata: JSON.stringify(long) })
      .where('id', '=', id)
      .execute()
    expect(await patched(id, { title: 'x' })).toMatchObject({ title: 'x', metadata: long })
    expect((await patch(id, { metadata: { more: 'x' } })).status).toBe(400)
    expect(await patched(id, { metadata: { ['k'.repeat(200)]: null, big: null } })).toMatchObject({
      metadata: {},
    })
  })

  it('begins with what was said of its upload where a migration has not come to it yet', async () => {
    const id = await newMedia()
    await sql`update landfall.media set metadata = null, title = null, attached_type = null, attached_id = null, told_captions = null
               where id = ${id}`.execute(landfall.db)
    expect(await patched(id, { metadata: { c: '3' } })).toMatchObject({
      attachedTo: { type: 'post', id: '1' },
      title: 'Before',
      captions: ['de'],
      metadata: { a: '1', b: '2', c: '3' },
    })
  })

  it('names languages that outlast those found in the file', async () => {
    const id = await newMedia()
    const found = (captions: string[]) => recordFacts(landfall.db, id, { captions })
    await found(['fra'])
    expect((await mediaOf(id)).captions).toEqual(['de'])
    expect(await patched(id, { captions: ['pt-BR'] })).toMatchObject({ captions: ['pt-BR'] })
    await found(['und'])
    expect(await patched(id, { captions: null })).toMatchObject({ captions: ['und'] })
  })

  it('is told by one event and one webhook, and only where it changes something', async () => {
    const id = await newMedia()
    const open = Promise.withResolvers<void>()
    const seen: StreamEvent[] = []
    const reading = (async () => {
      const headers = { Authorization: `Bearer ${landfall.token('alice')}` }
      for await (const event of readStream(`${landfall.url}/api/v1/events`, headers, open.resolve)) {
        if (event.data.mediaId !== id) continue
        seen.push(event)
        if (event.data.metadata.a === 'last') return
      }
    })()
    await open.promise
    const { metadata } = await patched(id, { title: 'After', metadata: { a: '漢' } })
    for (const same of [{}, { title: 'After' }, { metadata: { a: '漢', none: null } }, { captions: ['de'] }])
      await patched(id, same)
    expect(await eventsOf(id)).toBe(1)
    await patched(id, { metadata: { a: 'last' } })
    await reading
    expect(seen.map(({ data }) => [data.type, data.attachedTo])).toEqual([
      ['media.updated', { type: 'post', id: '1' }],
      ['media.updated', { type: 'post', id: '1' }],
    ])
    expect(metadata).toEqual({ a: '漢', b: '2' })
    const deliveries = await landfall.db
      .selectFrom('landfall.webhook_deliveries')
      .select('type')
      .where('media_id', '=', id)
      .where('type', '=', 'media.updated')
      .execute()
    expect(deliveries).toHaveLength(2)
  })

  it('is merged with patches at the same time, key by key', async () => {
    const id = await newMedia()
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        patch(id, n % 5 === 0 ? { title: `t${n}` } : { metadata: { [`key${n}`]: String(n) } }),
      ),
    )
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200))
    const keys = Array.from({ length: 20 }, (_, n) => n).filter((n) => n % 5 !== 0)
    expect((await mediaOf(id)).metadata).toEqual({
      a: '1',
      b: '2',
      ...Object.fromEntries(keys.map((n) => [`key${n}`, String(n)])),
    })
    expect(await eventsOf(id)).toBe(20)
  })

  it('loses against a deletion at the same time', async () => {
    for (let round = 0; round < 5; round++) {
      const id = await newMedia()
      const remove = () => landfall.as('alice')(`/api/v1/media/${id}`, { method: 'DELETE' })
      const answers = await Promise.all([
        ...Array.from({ length: 4 }, (_, n) => patch(id, { title: `t${n}` })),
        remove(),
        ...Array.from({ length: 4 }, (_, n) => patch(id, { title: `u${n}` })),
      ])
      for (const { status } of answers) expect([200, 204, 404]).toContain(status)
      expect(answers[4]?.status).toBe(204)
      expect((await patch(id, { title: 'late' })).status).toBe(404)
      const types = await landfall.db
        .selectFrom('landfall.events')
        .select('type')
        .where('media_id', '=', id)
        .orderBy('id')
        .execute()
      expect(types.at(-1)?.type).toBe('media.deleted')
    }
  })

  /** A patch that begins while a transaction of another server has changed the media item. */
  async function patchBehind(id: MediaId, change: RawBuilder<unknown>, changes: unknown): Promise<Response> {
    const waiting = async () => {
      const { rows } = await sql`
        select 1 from pg_stat_activity
         where datname = current_database() and query like '%was as materialized%' and wait_event_type = 'Lock'`.execute(
        landfall.db,
      )
      return rows.length
    }
    let answer: Promise<Response> | undefined
    await landfall.db.transaction().execute(async (trx) => {
      await sql`update landfall.media set ${change} where id = ${id}`.execute(trx)
      answer = patch(id, changes)
      await expect.poll(waiting, { timeout: 10_000 }).toBeGreaterThan(0)
    })
    if (!answer) throw new Error('nothing was sent')
    return await answer
  }

  it('finds nothing where another server deletes it at that moment', async () => {
    const id = await newMedia()
    const answer = await patchBehind(id, sql`status = 'deleted', deleted_at = now()`, { title: 'late' })
    expect(answer.status).toBe(404)
    expect(await eventsOf(id)).toBe(0)
  })

  it('is merged with a patch of another server at that moment', async () => {
    const id = await newMedia()
    const change = sql`metadata = metadata || '{"c": "3", "a": "9"}', title = 'theirs'`
    expect((await patchBehind(id, change, { metadata: { b: null, d: '4' } })).status).toBe(200)
    expect(await mediaOf(id)).toMatchObject({ title: 'theirs', metadata: { a: '9', c: '3', d: '4' } })
    expect(await eventsOf(id)).toBe(1)
    // What is the same by then changes nothing.
    expect((await patchBehind(id, sql`title = 'same'`, { title: 'same' })).status).toBe(200)
    expect(await eventsOf(id)).toBe(1)
  })

  it('is for its owner alone', async () => {
    const id = await newMedia()
    expect((await patch(id, { title: 'mine' }, { sub: 'mallory' })).status).toBe(404)
    expect((await patch('A'.repeat(22), { title: 'mine' })).status).toBe(404)
    expect((await mediaOf(id)).title).toBe('Before')
  })

  it('may attach it only to what its token names, as may the creation', async () => {
    const id = await newMedia()
    const refused = await patch(id, { attachedTo: { type: 'course', id: '8' }, title: 'x' })
    expect([refused.status, ((await refused.json()) as Json).code]).toEqual([403, 'forbidden'])
    expect(await mediaOf(id)).toMatchObject({ title: 'Before', attachedTo: { type: 'post', id: '1' } })
    expect(await patched(id, { attachedTo: { type: 'course', id: '7' } })).toMatchObject({
      attachedTo: { type: 'course', id: '7' },
    })
    expect(await patched(id, { attachedTo: null })).toMatchObject({ attachedTo: null })
    const target = { url: landfall.url, token: () => token() }
    const metadata = { attachedToType: 'course', attachedToId: '8' }
    const created = await create(target, 'alice', { size: BYTES.length, metadata })
    expect([created.status, ((await created.json()) as Json).code]).toEqual([403, 'forbidden'])
  })

  it('is taken or refused, whatever JSON it is', async () => {
    const id = await newMedia()
    // Also halves of characters, NUL, and names of other programs.
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('\0', '\ud83c', '__proto__', 'de', 'post'),
    )
    const anything = fc.oneof(
      text,
      fc.constant(null),
      fc.double(),
      fc.boolean(),
      fc.array(text, { maxLength: 3 }),
    )
    const changes = fc.record(
      {
        attachedTo: fc.oneof(anything, fc.record({ type: anything, id: anything })),
        metadata: fc.oneof(
          anything,
          fc.dictionary(text, fc.oneof(text, fc.constant(null), fc.double()), { maxKeys: 5 }),
        ),
        title: anything,
        description: anything,
        captions: anything,
      },
      { requiredKeys: [] },
    )
    const seen = new Set<number>()
    await fc.assert(
      fc.asyncProperty(fc.oneof(changes, changes, fc.jsonValue()), async (given) => {
        const { status } = await patch(id, given)
        seen.add(status)
        expect([200, 400]).toContain(status)
      }),
      { numRuns: 300 },
    )
    expect(seen).toEqual(new Set([200, 400]))
  })

  it('says byte for byte what it was told', async () => {
    const id = await newMedia({})
    const text = fc
      .string({ unit: 'binary', maxLength: 60 })
      .map((value) => value.replaceAll('\0', '').toWellFormed())
    const key = fc
      .stringMatching(/^[\x21-\x2b\x2d-\x7e]{1,30}$/)
      .filter((name) => name !== '__proto__' && !Object.hasOwn(READ_KEYS, name))
    const changes = fc.record({
      title: text,
      description: text,
      metadata: fc.dictionary(key, text, { maxKeys: 20 }),
    })
    await fc.assert(
      fc.asyncProperty(changes, async ({ metadata, ...others }) => {
        await patched(id, { metadata: null })
        const own = Object.fromEntries(Object.entries(metadata))
        expect(await patched(id, { ...others, metadata: own })).toMatchObject(others)
        expect((await mediaOf(id)).metadata).toEqual(own)
      }),
      { numRuns: 60 },
    )
  })
})
