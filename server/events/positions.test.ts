import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Ledger, openDatabase } from '../../ledger/database.ts'
import { positionAfter, positionNow, SETTLED_AFTER_MS } from '../../ledger/events.ts'
import { newUploadId, type OwnerId } from '../../ledger/ids.ts'
import { freshDatabase } from '../../test/support/landfall.ts'
import { OwnersPosition } from './positions.ts'

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
  })

  const freshOwner = () => `owner ${owners++}` as OwnerId

  async function add(ownerId: OwnerId, ledger: Ledger = db): Promise<number> {
    const { id } = await ledger
      .insertInto('events')
      .values({ type: 'upload.created', upload_id: newUploadId(), owner_id: ownerId })
      .returning('id')
      .executeTakeFirstOrThrow()
    return id
  }

  /** Everything that is there, as a reader takes it. */
  async function take(position: OwnersPosition): Promise<number[]> {
    const events = await position.next(LIMIT)
    for (const { id } of events) position.passed(id)
    return events.map(({ id }) => id)
  }

  it('gives each event once, from now on', async () => {
    const ownerId = freshOwner()
    await add(ownerId)
    const position = new OwnersPosition(db, ownerId, await positionNow(db, ownerId))
    expect(await take(position)).toEqual([])
    const ids = [await add(ownerId), await add(ownerId)]
    await add(freshOwner())
    expect(await position.next(1)).toHaveLength(1)
    expect(await take(position)).toEqual(ids)
    expect(await take(position)).toEqual([])
  })

  it('gives what becomes visible late, however long nobody has looked', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const ownerId = freshOwner()
    const position = new OwnersPosition(db, ownerId, await positionNow(db, ownerId))
    const trx = await db.startTransaction().execute()
    const late = await add(ownerId, trx)
    const early = await add(ownerId)
    expect(await take(position)).toEqual([early])
    expect(await take(position)).toEqual([])
    await trx.commit().execute()
    vi.advanceTimersByTime(10 * SETTLED_AFTER_MS)
    expect(await take(position)).toEqual([late])
    expect(await take(position)).toEqual([])
  })

  it('does not ask for events again that have settled', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const ownerId = freshOwner()
    const position = new OwnersPosition(db, ownerId, await positionNow(db, ownerId))
    for (let round = 0; round < 3; round++) {
      const ids = [await add(ownerId), await add(ownerId)]
      expect(await take(position)).toEqual(ids)
      vi.advanceTimersByTime(SETTLED_AFTER_MS + 1)
      expect(await take(position)).toEqual([])
      expect(position.remembered).toBe(0)
    }
  })

  it('goes on a little before the last event seen, and not before its beginning', async () => {
    const ownerId = freshOwner()
    const [old, recent, last] = [await add(ownerId), await add(ownerId), await add(ownerId)]
    await db
      .updateTable('events')
      .set({ created_at: new Date(Date.now() - 2 * SETTLED_AFTER_MS) })
      .where('id', '=', old)
      .execute()
    expect(await positionAfter(db, ownerId, last)).toEqual({ settled: old, passed: [last] })
    const next = await add(ownerId)
    const position = new OwnersPosition(db, ownerId, await positionAfter(db, ownerId, last))
    expect(await take(position)).toEqual([recent, next])
  })

  it('is not led astray by an id that there is not', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const ownerId = freshOwner()
    const position = new OwnersPosition(db, ownerId, await positionAfter(db, ownerId, 999_999_999_999_999))
    vi.advanceTimersByTime(SETTLED_AFTER_MS + 1)
    expect(await take(position)).toEqual([])
    const id = await add(ownerId)
    expect(await take(position)).toEqual([id])
  })
})
