import { readdir, readFile } from 'node:fs/promises'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { freshDatabase } from '../test/support/landfall.ts'
import { openLedger } from '../test/support/ledger.ts'
import type { Ledger } from './database.ts'
import { logEvents, mediaEvent } from './event-log.ts'
import { EVENTS, type EventType, eventsThat } from './event-types.ts'
import type { MediaId, OwnerId, UploadId } from './ids.ts'

const TYPES = Object.keys(EVENTS) as EventType[]
const TOLD = eventsThat('isTold')
/** Those of the releases that leave deliveries to the trigger. */
const FORMER = ['upload.created', ...TOLD] as EventType[]
const IN_USE = ['we_1', 'we_2']

let connectionString: string
let db: Ledger

beforeAll(async () => {
  connectionString = await freshDatabase()
  db = openLedger(connectionString)
  await db
    .insertInto('landfall.webhook_endpoints')
    .values([
      ...IN_USE.map((id) => ({ id, url: id })),
      { id: 'we_3', url: 'we_3', disabled_at: new Date(), disabled_reason: 'gone' },
    ])
    .execute()
})
afterAll(() => db.destroy())
beforeEach(async () => {
  await sql`truncate landfall.webhook_deliveries, landfall.events cascade`.execute(db)
})

/** Writes events of media items as this release does, those of each statement together. */
async function write(ledger: Ledger, uploadId: string, ...types: readonly EventType[]): Promise<void> {
  const events = types.map((type) => mediaEvent('given', type, { data: sql`'{"n": 1}'::jsonb` }))
  await sql`
    with given as (select ${uploadId} as upload_id, 'media' as id, 'alice' as owner_id), ${logEvents(...events)}
    select 1`.execute(ledger)
}

/** Writes an event as an earlier release does. */
async function writeAsBefore(ledger: Ledger, uploadId: string, type: EventType): Promise<void> {
  await ledger
    .insertInto('landfall.events')
    .values({
      type,
      upload_id: uploadId as UploadId,
      media_id: 'media' as MediaId,
      owner_id: 'alice' as OwnerId,
      data: JSON.stringify({ n: 1 }),
    })
    .execute()
}

const events = () => db.selectFrom('landfall.events').selectAll().orderBy('id').execute()
const deliveries = () =>
  db
    .selectFrom('landfall.webhook_deliveries')
    .selectAll()
    .orderBy('event_id')
    .orderBy('endpoint_id')
    .execute()

/** There is one delivery of each event that is told of for each endpoint in use, and no other. */
async function expectOneEach(): Promise<void> {
  const told = (await events()).filter(({ type }) => TOLD.includes(type))
  const found = await deliveries()
  expect(
    found.map((row) => [row.event_id, row.endpoint_id, row.type, row.upload_id, row.media_id, row.owner_id]),
  ).toEqual(
    told.flatMap((event) =>
      IN_USE.map((id) => [event.id, id, event.type, event.upload_id, event.media_id, event.owner_id]),
    ),
  )
  expect(new Set(found.map(({ id }) => id)).size).toBe(found.length)
  for (const row of found) {
    expect(row).toMatchObject({ status: 'pending', attempts: 0, failures: 0, lease: null, payload: null })
    expect(row.id).toMatch(/^msg_[0-9a-f]{32}$/)
  }
}

async function withoutTrigger(work: () => Promise<void>): Promise<void> {
  await sql`alter table landfall.events disable trigger enqueue_webhooks`.execute(db)
  try {
    await work()
  } finally {
    await sql`alter table landfall.events enable trigger enqueue_webhooks`.execute(db)
  }
}

describe('an event', () => {
  it('is written with one delivery for each endpoint in use, if webhooks tell of it', async () => {
    await withoutTrigger(async () => {
      for (const type of TYPES) await write(db, 'upload', type)
      expect(await events()).toMatchObject(
        TYPES.map((type) => ({
          type,
          upload_id: 'upload',
          media_id: 'media',
          owner_id: 'alice',
          data: { n: 1 },
        })),
      )
      await expectOneEach()
      expect(new Set((await deliveries()).map(({ type }) => type))).toEqual(new Set(TOLD))
    })
  })

  it('has the same deliveries while the trigger for earlier releases is there', async () => {
    for (const type of TYPES) await write(db, 'upload', type)
    await expectOneEach()
  })

  it('that an earlier release writes gets them from the trigger', async () => {
    for (const type of FORMER) await writeAsBefore(db, 'upload', type)
    await expectOneEach()
    expect(new Set((await deliveries()).map(({ type }) => type))).toEqual(new Set(TOLD))
  })

  it('gets none where no row is changed', async () => {
    await sql`
      with given as (select 'upload' as upload_id, 'media' as id, 'alice' as owner_id),
           ${logEvents(mediaEvent('given', 'media.ready', { where: sql`false or owner_id = 'bob'` }))}
      select 1`.execute(db)
    expect(await events()).toEqual([])
    expect(await deliveries()).toEqual([])
  })

  it('of a statement that is rolled back leaves none', async () => {
    const failed = db.transaction().execute(async (trx) => {
      await write(trx, 'upload', 'media.ready')
      throw new Error('rolled back')
    })
    await expect(failed).rejects.toThrow('rolled back')
    expect(await deliveries()).toEqual([])
  })

  it('is inserted by this fragment alone', async () => {
    const files = (await readdir(import.meta.dirname)).filter(
      (file) => file.endsWith('.ts') && !file.endsWith('.test.ts'),
    )
    const inserting: string[] = []
    for (const file of files) {
      const text = await readFile(`${import.meta.dirname}/${file}`, 'utf8')
      if (/(into landfall|insertInto\('landfall)\.(events|webhook_deliveries)\b/.test(text))
        inserting.push(file)
    }
    expect(inserting).toEqual(['event-log.ts'])
  })
})

describe('events', () => {
  it('of one statement have deliveries in their order', async () => {
    await withoutTrigger(async () => {
      const types = [...TYPES, ...TYPES.toReversed()]
      await write(db, 'upload', ...types)
      expect((await events()).map(({ type }) => type)).toEqual(types)
      await expectOneEach()
      const byPosition = (await deliveries()).toSorted((a, b) => a.position - b.position)
      expect(byPosition.map((row) => row.event_id)).toEqual(
        byPosition.map((row) => row.event_id).toSorted((a, b) => a - b),
      )
    })
  })

  it('of both releases have one delivery each on the same connection, which a pooler may give to both', async () => {
    const shared = openLedger(connectionString, 1)
    try {
      for (const type of TOLD) {
        await write(shared, 'upload', type)
        await writeAsBefore(shared, 'upload', type)
      }
    } finally {
      await shared.destroy()
    }
    await expectOneEach()
  })

  it('of both releases that are written at the same time have one delivery each, in order', async () => {
    await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const one = i % 2 === 0 ? write : writeAsBefore
        const other = i % 3 === 0 ? write : writeAsBefore
        await one(db, `upload-${i}`, 'upload.received')
        await other(db, `upload-${i}`, 'media.ready')
        await one(db, `upload-${i}`, 'media.deleted')
      }),
    )
    expect(await events()).toHaveLength(120)
    await expectOneEach()
    const found = await deliveries()
    for (let i = 0; i < 40; i++) {
      const own = found.filter(({ upload_id }) => upload_id === `upload-${i}`)
      const types = own.toSorted((a, b) => a.position - b.position).map(({ type }) => type)
      expect(types).toEqual(
        ['upload.received', 'media.ready', 'media.deleted'].flatMap((type) => IN_USE.map(() => type)),
      )
    }
  })
})
