import fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freshDatabase } from '../test/support/landfall.ts'
import { openLedger } from '../test/support/ledger.ts'
import type { Ledger } from './database.ts'
import { type MediaId, newMediaId, newUploadId, type OwnerId } from './ids.ts'
import {
  type ListBounds,
  listMedia,
  type MediaFilter,
  type MediaPosition,
  type MediaSort,
} from './media-list.ts'

const alice = 'alice' as OwnerId
const ITEMS = 120
const pick = <T>(values: readonly T[], index: number): T => values[index % values.length] as T
const DAY = 86_400_000
const NEWEST = Date.UTC(2026, 0, 31)

type Item = {
  id: string
  created_at: Date
  filename: string | null
  size: number
  duration_seconds: number | null
  kind: string | null
  status: string
  sha256: string | null
  attached_type: string | null
  attached_id: string | null
  purged_at: Date | null
}
let db: Ledger
let items: Item[]

/** Many have the same of everything, and nothing of some. */
const itemOf = (index: number): Item => {
  const status = pick(['ready', 'ready', 'processing', 'failed', 'deleted', 'ready', 'deleted'], index)
  const isAttached = index % 4 === 0
  return {
    id: newMediaId(),
    created_at: new Date(NEWEST - (index % 13) * DAY),
    filename: pick([null, 'B.jpg', 'a.jpg', 'Übung 100%.mp4', 'a_b.jpg', '😀.png'], index * 7),
    size: pick([1, 500, 500, 70_000_000_000], index),
    duration_seconds: pick([null, 0.1, 1 / 3, 7200, null], index),
    kind: pick([null, 'video', 'image'], index),
    status,
    sha256: pick([null, 'aa', 'bb'], index),
    attached_type: isAttached ? 'course' : null,
    attached_id: isAttached ? pick(['1', '2'], index / 4) : null,
    purged_at: status === 'deleted' && index % 3 === 0 ? new Date(NEWEST) : null,
  }
}

async function insert(item: Item, owner = alice): Promise<void> {
  const uploadId = newUploadId()
  await sql`
    with upload as (
      insert into landfall.uploads (id, owner_id, protocol, state, metadata, storage_backend, storage_key, reserved_bytes,
                                    expires_at)
      values (${uploadId}, ${owner}, 'tus-1.0', 'received', '{}', 'disk', 'x', 0, now()) returning id
    )
    insert into landfall.media (id, upload_id, owner_id, filename, size, duration_seconds, kind, status, sha256, attached_type,
                                attached_id, created_at, purged_at, storage_key, metadata)
    select ${item.id}, id, ${owner}, ${item.filename}, ${item.size}, ${item.duration_seconds}, ${item.kind}, ${item.status},
           ${item.sha256}, ${item.attached_type}, ${item.attached_id}, ${item.created_at}, ${item.purged_at}, 'x', '{}'
      from upload`.execute(db)
}

beforeAll(async () => {
  db = openLedger(await freshDatabase())
  items = Array.from({ length: ITEMS }, (_, index) => itemOf(index))
  for (const item of items) await insert(item)
  for (let index = 0; index < 20; index++) await insert(itemOf(index), 'bob' as OwnerId)
})
afterAll(() => db?.destroy())

const bytes = (text: string) => Buffer.from(text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase()))
const KEYS: Record<MediaSort['key'], (a: Item, b: Item) => number> = {
  createdAt: (a, b) => a.created_at.getTime() - b.created_at.getTime(),
  name: (a, b) => Buffer.compare(bytes(a.filename ?? ''), bytes(b.filename ?? '')),
  size: (a, b) => a.size - b.size,
  duration: (a, b) => (a.duration_seconds ?? -1) - (b.duration_seconds ?? -1),
}

const matches = (item: Item, filter: MediaFilter): boolean =>
  (filter.status === 'deleted'
    ? item.status === 'deleted' && !item.purged_at
    : item.status !== 'deleted' && (!filter.status || item.status === filter.status)) &&
  (!filter.kind || item.kind === filter.kind) &&
  (!filter.sha256 || item.sha256 === filter.sha256) &&
  (!filter.attachedType || item.attached_type === filter.attachedType) &&
  (!filter.attachedId || item.attached_id === filter.attachedId) &&
  (!filter.createdAfter || item.created_at >= filter.createdAfter) &&
  (!filter.createdBefore || item.created_at < filter.createdBefore) &&
  (!filter.name || new RegExp(filter.name).test(item.filename ?? ''))

/** All pages, one after the other. */
async function listed(
  query: { sort: MediaSort; filter: MediaFilter; limit: number; bounds: ListBounds },
  between: () => Promise<void> = async () => {},
): Promise<{ ids: string[]; pages: number }> {
  const ids: string[] = []
  let after: MediaPosition | undefined
  for (let pages = 1; ; pages++) {
    const { rows, next } = await listMedia(db, { ownerId: alice, ...query, after })
    expect(rows.length).toBeLessThanOrEqual(query.limit)
    ids.push(...rows.map(({ id }) => id))
    if (!next) return { ids, pages }
    after = next
    await between()
  }
}

const sorts = fc.record({
  key: fc.constantFrom('createdAt' as const, 'name' as const, 'size' as const, 'duration' as const),
  isDescending: fc.boolean(),
})
const days = fc.integer({ min: -1, max: 14 }).map((day) => new Date(NEWEST - day * DAY))
const filters: fc.Arbitrary<MediaFilter> = fc.record(
  {
    kind: fc.constantFrom('video' as const, 'audio' as const),
    status: fc.constantFrom('ready' as const, 'failed' as const, 'deleted' as const),
    attachedType: fc.constantFrom('course', 'other'),
    attachedId: fc.constantFrom('1', '3'),
    sha256: fc.constantFrom('aa', 'cc'),
    createdAfter: days,
    createdBefore: days,
    name: fc.constantFrom('[aA]', 'jpg', '100\\%', 'nowhere'),
  },
  { requiredKeys: [] },
)
const bounds = fc.constantFrom({ read: 10_000, few: 1_000 }, { read: 10, few: 3 }, { read: 25, few: 0 })

describe('a list of media items', () => {
  it('has each that it should have once and in order, page by page, whatever the order, filters and bounds', async () => {
    const query = fc.record({ sort: sorts, filter: filters, limit: fc.integer({ min: 1, max: 40 }), bounds })
    await fc.assert(
      fc.asyncProperty(query, async (query) => {
        const { ids } = await listed(query)
        const expected = items.filter((item) => matches(item, query.filter))
        expect(new Set(ids)).toEqual(new Set(expected.map(({ id }) => id)))
        expect(ids).toHaveLength(expected.length)
        const inOrder = ids.map((id) => expected.find((item) => item.id === id) as Item)
        const compare = KEYS[query.sort.key]
        for (const [index, item] of inOrder.entries()) {
          const before = inOrder[index - 1]
          if (before)
            expect(compare(before, item) * (query.sort.isDescending ? -1 : 1)).toBeLessThanOrEqual(0)
        }
      }),
      { numRuns: 150 },
    )
  })

  it('has its pages by number as by cursor', async () => {
    const query = {
      sort: { key: 'name', isDescending: true },
      filter: { status: 'ready' },
      limit: 7,
    } as const
    const { ids } = await listed({ ...query, bounds: { read: 10_000, few: 0 } })
    const numbered: string[] = []
    for (let page = 0; page * 7 < ids.length; page++) {
      const { rows } = await listMedia(db, { ownerId: alice, ...query, offset: page * 7 })
      numbered.push(...rows.map(({ id }) => id))
    }
    expect(numbered).toEqual(ids)
  })

  it('misses and repeats none while others come and go', async () => {
    const before = items.filter((item) => matches(item, {})).map(({ id }) => id)
    const added: MediaId[] = []
    let index = 0
    const { ids } = await listed(
      {
        sort: { key: 'size', isDescending: false },
        filter: {},
        limit: 5,
        bounds: { read: 10_000, few: 1_000 },
      },
      async () => {
        const item = { ...itemOf(index++ * 7), id: newMediaId(), status: 'ready' }
        added.push(item.id)
        await insert(item)
      },
    )
    expect(new Set(ids).size).toBe(ids.length)
    for (const id of before) expect(ids).toContain(id)
    for (const id of added) await sql`delete from landfall.media where id = ${id}`.execute(db)
  })

  it('reads no more than its bounds allow, though nothing matches, and still comes to its end', async () => {
    const query = {
      sort: { key: 'size', isDescending: false } as const,
      filter: { name: 'nowhere' },
      limit: 10,
      bounds: { read: 10, few: 3 },
    }
    const { ids, pages } = await listed(query)
    expect(ids).toEqual([])
    expect(pages).toBeGreaterThanOrEqual(Math.floor(items.filter((item) => matches(item, {})).length / 10))
  })
})
