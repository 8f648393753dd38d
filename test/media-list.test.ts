import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MAX_READ } from '../ledger/media-list.ts'
import { MediaListQuery } from '../server/api/schemas.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { create } from './support/tus.ts'

type Page = { items: { id: string; filename: string; status: string }[]; nextCursor: string | null }

describe('GET /api/v1/media', () => {
  let landfall: Landfall
  const NAMES = ['b.jpg', 'Ärger 100%.jpg', 'a_1.jpg', 'A.jpg', 'c(1)+.jpg']

  beforeAll(async () => {
    landfall = await startLandfall({ withoutWorker: true, env: { UPLOAD_MAX_OPEN: '100' } })
    for (const [index, filename] of NAMES.entries()) {
      const body = asJpeg(Buffer.alloc(2000 + index, 'x'))
      await create(landfall, 'alice', {
        size: body.length,
        body,
        metadata: { filename, filetype: 'image/jpeg' },
      })
    }
    const body = asJpeg(Buffer.alloc(2000, 'x'))
    await create(landfall, 'bob', { size: body.length, body, metadata: { filename: 'b.jpg' } })
  })
  afterAll(() => landfall?.close())

  const ask = (query: Record<string, string>) =>
    landfall.as('alice')(`/api/v1/media?${new URLSearchParams(query)}`)
  const list = async (query: Record<string, string>): Promise<Page> => {
    const answer = await ask(query)
    expect(answer.status).toBe(200)
    return (await answer.json()) as Page
  }
  const names = async (query: Record<string, string>) =>
    (await list(query)).items.map(({ filename }) => filename)
  const fault = async (query: Record<string, string>) => {
    const answer = await ask(query)
    const { code, detail } = (await answer.json()) as { code: string; detail: string }
    return `${answer.status} ${code} ${detail}`
  }

  it('sorts as it is asked to, and the newest first unasked', async () => {
    expect(await names({})).toEqual(NAMES.toReversed())
    expect(await names({ sort: 'createdAt' })).toEqual(NAMES)
    expect(await names({ sort: '-size' })).toEqual(NAMES.toReversed())
    expect(await names({ sort: 'name' })).toEqual([NAMES[3], NAMES[2], NAMES[0], NAMES[4], NAMES[1]])
  })

  it('finds names by any part, in either case, and takes no character for a pattern', async () => {
    expect(await names({ name: 'äRGER' })).toEqual([NAMES[1]])
    expect(await names({ name: '%' })).toEqual([NAMES[1]])
    expect(await names({ name: '_' })).toEqual([NAMES[2]])
    expect(await names({ name: '(1)+' })).toEqual([NAMES[4]])
    expect(await names({ name: '\\' })).toEqual([])
    expect(await names({ name: '.*' })).toEqual([])
  })

  it('has pages by number and by cursor, which go on from each other', async () => {
    const first = await list({ sort: 'name', limit: '2', page: '1' })
    const second = await list({ sort: 'name', limit: '2', cursor: first.nextCursor ?? '' })
    expect(await list({ sort: 'name', limit: '2', page: '2' })).toMatchObject({
      items: second.items.map(({ id }) => ({ id })),
    })
    expect((await list({ sort: 'name', limit: '2', page: '3' })).nextCursor).toBeNull()
    expect(await list({ sort: 'name', limit: '2', page: '9' })).toEqual({ items: [], nextCursor: null })
  })

  it('refuses a cursor of another order, of other filters or of another list, and one beside a page', async () => {
    const { nextCursor } = await list({ sort: 'name', kind: 'image', limit: '1' })
    const { nextCursor: cursor } = await list({ sort: 'name', limit: '1' })
    expect(nextCursor).toBeNull()
    const others: Record<string, string>[] = [
      { sort: '-name' },
      { sort: 'size' },
      {},
      { sort: 'name', name: 'a' },
      { sort: 'name', status: 'ready' },
    ]
    for (const query of others)
      expect(await fault({ ...query, cursor: cursor ?? '' })).toMatch(/^400 invalid-request cursor: /)
    expect(await fault({ sort: 'name', cursor: 'AAAA' })).toMatch(/^400 invalid-request cursor: /)
    expect(await fault({ sort: 'name', page: '1', cursor: cursor ?? '' })).toMatch(
      /^400 invalid-request page: /,
    )
  })

  it.each([
    [{ sort: 'colour' }, 'sort'],
    [{ sort: 'name', status: 'deleted' }, 'sort'],
    [{ page: '0' }, 'page'],
    [{ page: '200', limit: '100' }, 'page'],
    [{ attachedId: '1' }, 'attachedId'],
    [{ name: '\0' }, 'name'],
    [{ name: '' }, 'name'],
    [{ sha256: 'abc' }, 'sha256'],
    [{ createdAfter: 'yesterday' }, 'createdAfter'],
    [{ status: 'lost' }, 'status'],
    [{ owned: 'yes' }, '"owned"'],
  ])('%j is 400, and says of which parameter', async (query, name) => {
    expect(await fault(query as Record<string, string>)).toMatch(new RegExp(`^400 invalid-request ${name}`))
  })

  it('has deleted ones only where they are asked for, and restored ones again', async () => {
    const [item] = (await list({ sort: 'name' })).items
    const path = `/api/v1/media/${item?.id}`
    expect((await landfall.as('alice')(path, { method: 'DELETE' })).status).toBe(204)
    expect(await names({})).not.toContain(item?.filename)
    const { items } = await list({ status: 'deleted' })
    expect(items).toMatchObject([{ id: item?.id, status: 'deleted' }])
    expect((await landfall.as('alice')(`${path}/restore`, { method: 'POST' })).status).toBe(200)
    expect((await list({ status: 'deleted' })).items).toEqual([])
    expect(await names({ sort: 'name' })).toContain(item?.filename)
  })

  it('is asked for as docs/api.md shows it, by parameters that are all described', async () => {
    const docs = await readFile(join(import.meta.dirname, '..', 'docs', 'api.md'), 'utf8')
    const section = docs.split('### Lists of media items')[1]?.split('\n### ')[0] ?? ''
    const [path] = /\/api\/v1\/media\?[^']+/.exec(section) ?? ['']
    expect((await landfall.as('alice')(path)).status).toBe(200)
    for (const name of Object.keys(MediaListQuery.shape)) expect(section).toContain(`\`${name}\``)
    expect(section).toContain(MAX_READ.toLocaleString('en'))
  })

  it('is bounded in time as well', async () => {
    const { items } = await list({
      createdAfter: new Date(0).toISOString(),
      createdBefore: '2000-01-01T00:00:00+01:00',
    })
    expect(items).toEqual([])
    expect(
      await names({ createdAfter: '0000-01-01T00:00:00Z', createdBefore: '9999-12-31T23:59:59Z' }),
    ).toHaveLength(5)
  })
})
