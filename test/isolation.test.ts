import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newMediaId, newUploadId } from '../ledger/ids.ts'
import { jpeg } from './fixtures/media.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { openPatch } from './support/raw-http.ts'
import { ask, mediaRoutes, type Route, uploadRoutes } from './support/routes.ts'
import { asMp4 } from './support/sample-bytes.ts'
import { untilReceived } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { create, createId, head, idOf, patch, terminate } from './support/tus.ts'
import { type MediaJson, process } from './support/uploads.ts'

type Listed = { items: { id: string }[] }

describeStorages('what belongs to somebody else', (storage) => {
  let landfall: Landfall
  let media: MediaJson

  beforeAll(async () => {
    landfall = await startLandfall({ storage, env: { SCAN: 'off', UPLOAD_MAX_OPEN: '100' } })
    media = await process(landfall, 'alice', await jpeg({ width: 640, height: 480 }))
  })
  afterAll(() => landfall?.close())

  const upload = (sub: string) => createId(landfall, sub, { size: 40_000, metadata: { filename: 'a.mp4' } })
  const idsOf = async (sub: string, path: string) =>
    ((await (await landfall.as(sub)(path)).json()) as Listed).items.map((item) => item.id)

  /** What a stranger gets from a route, but for what differs from request to request. */
  async function seenBy(sub: string, route: Route) {
    const { status, headers, problem } = await ask(landfall, route, `Bearer ${landfall.token(sub)}`)
    const own = new Set(['date', 'x-request-id', 'content-length'])
    return {
      status,
      headers: [...headers].filter(([name]) => !own.has(name)),
      problem: problem && { ...problem, requestId: '' },
    }
  }

  const states: [string, () => Promise<string>][] = [
    ['an open upload', () => upload('alice')],
    [
      'a terminated upload',
      async () => {
        const id = await upload('alice')
        await terminate(landfall, 'alice', id)
        return id
      },
    ],
    ['a received upload', async () => media.uploadId],
  ]
  describe.each(states)('%s', (_state, make) => {
    it.each(
      uploadRoutes().map((route, index) => [
        `${route.method} ${route.path.replace(/[\w-]{22}/, ':id')}`,
        index,
      ]),
    )('answers a stranger’s %s like one that does not exist', async (_name, index) => {
      const id = await make()
      const route = uploadRoutes(id)[Number(index)]
      const absent = uploadRoutes(newUploadId())[Number(index)]
      if (!route || !absent) throw new Error('no such route')
      const answer = await seenBy('mallory', route)
      expect(answer).toEqual(await seenBy('mallory', absent))
      expect(answer.status).toBe(404)
      if (route.method !== 'HEAD') expect(answer.problem?.code).toBe('not-found')
    })
  })

  it.each(
    mediaRoutes().map((route, index) => [`${route.method} ${route.path.replace(/[\w-]{22}/, ':id')}`, index]),
  )('answers a stranger’s %s like a media that does not exist', async (_name, index) => {
    const route = mediaRoutes(media.id)[Number(index)]
    const absent = mediaRoutes(newMediaId())[Number(index)]
    if (!route || !absent) throw new Error('no such route')
    const answer = await seenBy('mallory', route)
    expect(answer).toEqual(await seenBy('mallory', absent))
    expect([answer.status, answer.problem?.code]).toEqual([404, 'not-found'])
  })

  it('is there for its owner after all of that', async () => {
    expect((await landfall.as('alice')(`/api/v1/media/${media.id}`)).status).toBe(200)
    expect((await landfall.as('alice')(`/api/v1/media/${media.id}/content`)).status).toBe(200)
  })

  it('is in no list but its owner’s', async () => {
    const [alices, bobs] = [await upload('alice'), await upload('bob')]
    expect(await idsOf('alice', '/api/v1/uploads')).toContain(alices)
    expect(await idsOf('alice', '/api/v1/uploads')).not.toContain(bobs)
    expect(await idsOf('bob', '/api/v1/uploads')).toEqual([bobs])
    expect(await idsOf('alice', '/api/v1/media')).toEqual([media.id])
    expect(await idsOf('bob', '/api/v1/media')).toEqual([])
  })

  it('is not reached by naming the owner in the address, a header or the metadata', async () => {
    const response = await create(landfall, 'mallory', {
      size: 2000,
      metadata: { filename: 'a.mp4', owner_id: 'alice', ownerId: 'alice', sub: 'alice' },
      headers: { 'X-User': 'alice', 'X-Owner-Id': 'alice' },
    })
    expect(response.status).toBe(201)
    expect(await idsOf('alice', '/api/v1/uploads')).not.toContain(idOf(response))
    const statusOf = async (path: string) => (await landfall.as('mallory')(path)).status
    expect(await statusOf('/api/v1/uploads?owner=alice')).toBe(403)
    expect(await statusOf('/api/v1/media?ownerId=alice&owner_id=alice')).toBe(400)
  })

  it('goes on being received while a stranger sends PATCH, HEAD and DELETE', async () => {
    const id = await upload('owner')
    const running = openPatch(landfall, 'owner', id, { offset: 0, headers: { 'Content-Length': '40000' } })
    await running.send(asMp4(Buffer.alloc(15_000, 1)))
    await untilReceived(landfall, 'owner', id, 15_000)

    const strangers = await Promise.all([
      patch(landfall, 'mallory', id, { offset: 0, body: Buffer.alloc(10) }),
      patch(landfall, 'mallory', id, { offset: 15_000, body: Buffer.alloc(10) }),
      head(landfall, 'mallory', id),
      terminate(landfall, 'mallory', id),
    ])
    expect(strangers.map((response) => response.status)).toEqual([404, 404, 404, 404])
    const lease = await landfall.db
      .selectFrom('landfall.upload_locks')
      .select('contended')
      .where('upload_id', '=', id)
      .executeTakeFirst()
    expect(lease).toEqual({ contended: false })

    await running.send(Buffer.alloc(25_000, 2))
    running.end()
    const { status, headers } = await running.answer
    expect([status, headers['upload-offset']]).toEqual([204, '40000'])
  })
})

describe('an owner', () => {
  let landfall: Landfall

  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true })
  })
  afterAll(() => landfall?.close())

  const names = [
    ['SQL', "alice'; drop table landfall.uploads cascade; --"],
    ['a condition', "' or '1'='1"],
    ['quotes of every kind', `"'\`´“”\\"`],
    ['a pattern that matches all', '%'],
    ['a pattern that matches one', '_'],
    ['a parameter', '$1'],
    ['any script', 'Åsa · 日本 · Ελλάδα'],
    ['emoji', '🙈🙉🙊'],
    ['an accent in one character', '\u00e9'],
    ['the same accent in two', 'e\u0301'],
    ['capitals', 'ALICE'],
    ['no capitals', 'alice'],
    ['a blank at the end', 'alice '],
    ['a path', '../alice'],
    ['JSON', '{"sub":"alice"}'],
    ['as much as is allowed', 'x'.repeat(255)],
  ] as const

  it('has uploads and a quota of its own, whatever its name is made of', async () => {
    const ids: string[] = []
    for (const [, sub] of names) ids.push(await createId(landfall, sub, { size: 2000 }))
    const seen = []
    for (const [, sub] of names) {
      const { items } = (await (await landfall.as(sub)('/api/v1/uploads')).json()) as Listed
      const quota = (await (await landfall.as(sub)('/api/v1/quota')).json()) as {
        bytes: { reserved: number }
      }
      seen.push([sub, items.map((item) => item.id), quota.bytes.reserved])
    }
    expect(seen).toEqual(names.map(([, sub], index) => [sub, [ids[index]], 2000]))
  })
})
