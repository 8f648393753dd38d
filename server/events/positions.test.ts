import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Ledger, openDatabase } from '../../ledger/database.ts'
import { positionAfter, SETTLED_AFTER_MS } from '../../ledger/events.ts'
import { newUploadId, type OwnerId } from '../../ledger/ids.ts'
import { freshDatabase } from '../../test/support/landfall.ts'
import { OwnerFeed } from './owner-feed.ts'
import { FeedPosition } from './positions.ts'

const LIMIT = 100

describe('a position among the events of an owner', () => {
  let db: Ledger
  let owners = 0

  beforeAll(async () => {
    const connectionString = await freshDatabase()
    db = openDatabase({
      connectionString,
      maxConnections: 3,
      applicationName: 'test',
      onPoolError: () => {},
    })
  })
  afterAll(() => db?.destroy())
  afterEach(() => {
    vi.useRealTimers()
    vi.restoreAllMocks()
  })

  const freshOwner = () => `owner ${owners++}` as OwnerId

  async function add(ownerId: OwnerId, ledger: Ledger = db): Promise<number> {
    const { id } = await ledger
      .insertInto('landfall.events')
      .values({ type: 'upload.created', upload_id: newUploadId(), owner_id: ownerId })
      .returning('id')
      .executeTakeFirstOrThrow()
    return id
  }

  /** The creation of an upload with this metadata. */
  async function addWith(ownerId: OwnerId, metadata: Record<string, string>): Promise<number> {
    const id = newUploadId()
    await sql`
      insert into landfall.uploads (id, owner_id, protocol, state, metadata, storage_backend, storage_key, reserved_bytes, expires_at)
      values (${id}, ${ownerId}, 'tus-1.0', 'open', ${JSON.stringify(metadata)}::jsonb, 'disk', ${id}, 0, now())`.execute(
      db,
    )
    const values = { type: 'upload.created', upload_id: id, owner_id: ownerId } as const
    const event = await db
      .insertInto('landfall.events')
      .values(values)
      .returning('id')
      .executeTakeFirstOrThrow()
    return event.id
  }

  const openFeed = async (ownerId: OwnerId): Promise<OwnerFeed> => {
    const feed = new OwnerFeed(db, ownerId, () => {})
    await feed.look()
    return feed
  }
  const fromNow = (feed: OwnerFeed) =>
    new FeedPosition(db, feed, { settled: feed.base, passed: feed.ids() }, undefined)
  const fromBeginning = (feed: OwnerFeed) => new FeedPosition(db, feed, { settled: 0, passed: [] }, undefined)
  const comingBack = async (feed: OwnerFeed, lastEventId: number) =>
    new FeedPosition(db, feed, await positionAfter(db, feed.ownerId, lastEventId), undefined)

  /** Everything that is known, as a reader takes it. */
  async function takeKnown(position: FeedPosition, limit = LIMIT): Promise<number[]> {
    const taken: number[] = []
    for (;;) {
      const events = await position.next(limit)
      if (events.length === 0) return taken
      for (const { id } of events) position.passed(id)
      taken.push(...events.map(({ id }) => id))
    }
  }
  /** Everything that is there. */
  async function take(feed: OwnerFeed, position: FeedPosition): Promise<number[]> {
    await feed.look()
    return await takeKnown(position)
  }
  const isOld = async (...ids: number[]) =>
    await db
      .updateTable('landfall.events')
      .set({ created_at: new Date(Date.now() - 2 * SETTLED_AFTER_MS) })
      .where('id', 'in', ids)
      .execute()
  const oldEvents = async (ownerId: OwnerId, count: number): Promise<number[]> => {
    const { rows } = await sql<{ id: number }>`
      insert into landfall.events (type, upload_id, owner_id, created_at)
      select 'upload.created', 'u' || n, ${ownerId}, now() - interval '1 hour' from generate_series(1, ${count}) n
      returning id`.execute(db)
    return rows.map(({ id }) => id)
  }

  it('has much metadata from the ledger, which is kept for no reader', async () => {
    const ownerId = freshOwner()
    const [little, much] = [{ own: 'x' }, { own: 'x'.repeat(4000) }]
    const ids = [await addWith(ownerId, little), await addWith(ownerId, much), await addWith(ownerId, little)]
    const feed = await openFeed(ownerId)
    expect(feed.after(0).map(({ id, event }) => [id, event?.described.metadata])).toEqual([
      [ids[0], little],
      [ids[1], undefined],
      [ids[2], little],
    ])
    const position = new FeedPosition(db, feed, { settled: feed.base, passed: [] }, undefined)
    const events = await position.next(LIMIT)
    expect(events.map(({ id, described }) => [id, described.metadata])).toEqual([
      [ids[0], little],
      [ids[1], much],
      [ids[2], little],
    ])
  })

  it('gives each event once, from now on', async () => {
    const ownerId = freshOwner()
    await add(ownerId)
    const feed = await openFeed(ownerId)
    const position = fromNow(feed)
    expect(await take(feed, position)).toEqual([])
    const ids = [await add(ownerId), await add(ownerId)]
    await add(freshOwner())
    await feed.look()
    // The same again until it is passed.
    expect((await position.next(1)).map(({ id }) => id)).toEqual(ids.slice(0, 1))
    expect(await takeKnown(position)).toEqual(ids)
    expect(await take(feed, position)).toEqual([])
  })

  it('gives what becomes visible late, however long nobody has looked', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const ownerId = freshOwner()
    const feed = await openFeed(ownerId)
    const position = fromNow(feed)
    const trx = await db.startTransaction().execute()
    const late = await add(ownerId, trx)
    const early = await add(ownerId)
    expect(await take(feed, position)).toEqual([early])
    expect(await take(feed, position)).toEqual([])
    await trx.commit().execute()
    vi.advanceTimersByTime(10 * SETTLED_AFTER_MS)
    expect(await take(feed, position)).toEqual([late])
    expect(await take(feed, position)).toEqual([])
  })

  it('gives what became visible late also to a reader that was slow meanwhile', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const ownerId = freshOwner()
    const feed = await openFeed(ownerId)
    const [slow, fast] = [fromNow(feed), fromNow(feed)]
    const first = await add(ownerId)
    expect(await take(feed, slow)).toEqual([first])
    const trx = await db.startTransaction().execute()
    const late = await add(ownerId, trx)
    const ids = [await add(ownerId), await add(ownerId)]
    expect(await take(feed, fast)).toEqual([first, ...ids])
    await trx.commit().execute()
    expect(await take(feed, fast)).toEqual([late])
    // All of it settles before the slow one looks again; then there is more that is new.
    vi.advanceTimersByTime(SETTLED_AFTER_MS + 1)
    await feed.look()
    expect(feed.ids()).toEqual([])
    const next = await add(ownerId)
    expect((await take(feed, slow)).toSorted((a, b) => a - b)).toEqual([late, ...ids, next])
    expect(await take(feed, fast)).toEqual([next])
    expect(await take(feed, slow)).toEqual([])
  })

  it('does not keep events that have settled', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const ownerId = freshOwner()
    const feed = await openFeed(ownerId)
    const position = fromNow(feed)
    for (let round = 0; round < 3; round++) {
      const ids = [await add(ownerId), await add(ownerId)]
      expect(await take(feed, position)).toEqual(ids)
      vi.advanceTimersByTime(SETTLED_AFTER_MS + 1)
      expect(await take(feed, position)).toEqual([])
      expect(position.remembered).toBe(0)
      expect(feed.ids()).toEqual([])
    }
  })

  it('goes on a little before the last event seen, and not before its beginning', async () => {
    const ownerId = freshOwner()
    const [old, recent, last] = [await add(ownerId), await add(ownerId), await add(ownerId)]
    await isOld(old)
    expect(await positionAfter(db, ownerId, last)).toEqual({ settled: old, passed: [last] })
    const next = await add(ownerId)
    const feed = await openFeed(ownerId)
    expect(await take(feed, await comingBack(feed, last))).toEqual([recent, next])
  })

  it('is not led astray by an id that there is not', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const ownerId = freshOwner()
    const feed = await openFeed(ownerId)
    const position = await comingBack(feed, 999_999_999_999_999)
    vi.advanceTimersByTime(SETTLED_AFTER_MS + 1)
    expect(await take(feed, position)).toEqual([])
    const id = await add(ownerId)
    expect(await take(feed, position)).toEqual([id])
  })

  it('reads each event of the past once, with statements that do not grow', async () => {
    const ownerId = freshOwner()
    const ids = await oldEvents(ownerId, 2500)
    const recent = [await add(ownerId), await add(ownerId)]
    const feed = await openFeed(ownerId)
    const query = vi.spyOn(pg.Client.prototype, 'query')
    expect(await takeKnown(fromBeginning(feed))).toEqual([...ids, ...recent])
    const statements = query.mock.calls.map((call) => JSON.stringify(call).length)
    expect(statements.length).toBeLessThanOrEqual(2500 / LIMIT + 1)
    expect(Math.max(...statements)).toBeLessThan(1500)
  })

  it('shares what is new: twenty readers are one read, whatever one of them lacks', async () => {
    const ownerId = freshOwner()
    const feed = await openFeed(ownerId)
    const positions = Array.from({ length: 20 }, () => fromNow(feed))
    const ids = [await add(ownerId), await add(ownerId)]
    const query = vi.spyOn(pg.Client.prototype, 'query')
    await Promise.all(Array.from({ length: 20 }, () => feed.look()))
    for (const position of positions) expect(await takeKnown(position)).toEqual(ids)
    // One under way, and one that began after the last of them had asked.
    expect(query.mock.calls.length).toBeLessThanOrEqual(2)
  })
})
