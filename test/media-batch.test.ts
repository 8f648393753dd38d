import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { newMediaId } from '../ledger/ids.ts'
import { publishMedia, rejectMedia } from '../ledger/media.ts'
import { purgeMedia } from '../ledger/purging.ts'
import { asMediaId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { countedUsage, impliedUsage } from './support/quota.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { create, idOf } from './support/tus.ts'

type Result = { id: string; status: string; problem?: { code: string; detail: string } }

describe('POST /api/v1/media/batch', () => {
  let landfall: Landfall
  const nothing = async () => {}

  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '100' } })
  })
  afterAll(() => landfall?.close())

  async function received(owner = 'alice') {
    const body = asJpeg(Buffer.alloc(2000, 'x'))
    const uploadId = idOf(await create(landfall, owner, { size: body.length, body }))
    const row = await landfall.db
      .selectFrom('landfall.uploads')
      .select('media_id')
      .where('id', '=', uploadId)
      .executeTakeFirstOrThrow()
    return asMediaId(row.media_id ?? '')
  }
  const send = (body: unknown, sub = 'alice') =>
    landfall.as(sub)('/api/v1/media/batch', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
  async function results(body: unknown): Promise<string[]> {
    const answer = await send(body)
    expect(answer.status).toBe(200)
    const { results } = (await answer.json()) as { results: Result[] }
    return results.map(({ id, status, problem }) => `${id} ${problem?.code ?? status}`)
  }
  const eventsOf = async (id: string) =>
    (
      await landfall.db
        .selectFrom('landfall.events')
        .select('type')
        .where('media_id', '=', asMediaId(id))
        .orderBy('id')
        .execute()
    )
      .map(({ type }) => type)
      .filter((type) => type.startsWith('media.'))

  it('answers for each id in its order, does none twice, and tells the unknown from nobody’s', async () => {
    const [one, two, foreign, unknown] = [
      await received(),
      await received(),
      await received('bob'),
      newMediaId(),
    ]
    const ids = [two, 'nonsense', foreign, one, unknown, two]
    const expected = [
      `${two} ok`,
      'nonsense not-found',
      `${foreign} not-found`,
      `${one} ok`,
      `${unknown} not-found`,
      `${two} ok`,
    ]
    expect(await results({ action: 'delete', ids })).toEqual(expected)
    expect(await eventsOf(two)).toEqual(['media.deleted'])
    expect(await eventsOf(foreign)).toEqual([])
    expect(await results({ action: 'delete', ids: [one] })).toEqual([`${one} not-found`])
    expect(await results({ action: 'restore', ids })).toEqual(expected)
    expect(await eventsOf(two)).toEqual(['media.deleted', 'media.restored'])
    expect(await results({ action: 'attach', ids, attachedTo: { type: 'course', id: '7' } })).toEqual(
      expected,
    )
    expect(await eventsOf(two)).toEqual(['media.deleted', 'media.restored', 'media.updated'])
    const found = await landfall.as('alice')('/api/v1/media?attachedType=course&attachedId=7&sort=createdAt')
    expect(((await found.json()) as { items: { id: string }[] }).items.map(({ id }) => id)).toEqual([
      one,
      two,
    ])
    expect(await results({ action: 'attach', ids: [one], attachedTo: null })).toEqual([`${one} ok`])
    expect(await results({ action: 'process', ids })).toEqual(expected)
  })

  it('says of each what is in its way', async () => {
    const [ready, rejected, purged] = [await received(), await received(), await received()]
    await publishMedia(landfall.db, ready)
    await rejectMedia(landfall.db, rejected, { code: 'damaged', detail: 'It is damaged.' }, nothing)
    await results({ action: 'delete', ids: [purged] })
    await purgeMedia(landfall.db, [purged], nothing)
    expect(await results({ action: 'process', ids: [ready, rejected, purged] })).toEqual([
      `${ready} ok`,
      `${rejected} not-ready`,
      `${purged} not-found`,
    ])
    expect(await results({ action: 'restore', ids: [ready, purged] })).toEqual([
      `${ready} ok`,
      `${purged} media-purged`,
    ])
  })

  it('is asked for as docs/api.md shows it', async () => {
    const docs = await readFile(join(import.meta.dirname, '..', 'docs', 'api.md'), 'utf8')
    const [, example = ''] = /### Batches\n[\s\S]*?```json\n([\s\S]*?)```/.exec(docs) ?? []
    const [one, two] = [await received(), await received()]
    const ids = [one, two]
    expect(await results({ ...JSON.parse(example), ids })).toEqual([`${one} ok`, `${two} ok`])
  })

  it('takes a thousand at once, and no more', async () => {
    const ids = Array.from({ length: 1000 }, newMediaId)
    ids[999] = await received()
    expect((await results({ action: 'delete', ids })).at(-1)).toBe(`${ids[999]} ok`)
    expect((await send({ action: 'delete', ids: [...ids, newMediaId()] })).status).toBe(400)
  })

  it.each([
    [{ action: 'delete', ids: [] }],
    [{ action: 'burn', ids: ['x'] }],
    [{ action: 'delete', ids: 'x' }],
    [{ action: 'delete', ids: [1] }],
    [{ action: 'attach', ids: ['x'] }],
    [{ action: 'delete', ids: ['x'], attachedTo: null }],
    [{ action: 'attach', ids: ['x'], attachedTo: { type: 'COURSE', id: '1' } }],
    [{ action: 'delete', ids: ['x'], more: 1 }],
    [null],
  ])('%j is 400', async (body) => {
    expect((await send(body)).status).toBe(400)
  })

  it('lets a token attach to nothing that it does not list', async () => {
    const strict = await startLandfall({
      beside: landfall,
      withoutWorker: true,
      env: { AUTH_ATTACH_CLAIM: 'attach' },
    })
    onTestFinished(() => strict.close())
    const token = landfall.token('alice', { attach: ['course:1'] })
    const answer = await fetch(`${strict.url}/api/v1/media/batch`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
      body: JSON.stringify({
        action: 'attach',
        ids: [newMediaId()],
        attachedTo: { type: 'course', id: '2' },
      }),
    })
    expect(answer.status).toBe(403)
  })

  it('races deletions of single items and another batch: each is deleted and told of once', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, () => received()))
    const singles = ids.map((id) => landfall.as('alice')(`/api/v1/media/${id}`, { method: 'DELETE' }))
    const batches = await Promise.all([
      results({ action: 'delete', ids }),
      results({ action: 'delete', ids: ids.toReversed() }),
    ])
    const answers = await Promise.all(singles)
    for (const [index, id] of ids.entries()) {
      const byBatch = batches.flat().filter((result) => result === `${id} ok`).length
      expect(byBatch + (answers[index]?.status === 204 ? 1 : 0)).toBe(1)
      expect(await eventsOf(id)).toEqual(['media.deleted'])
    }
    expect(await countedUsage(landfall.db, ['alice'])).toEqual(await impliedUsage(landfall.db, ['alice']))
  })
})
