import { type Selectable, sql } from 'kysely'
import type { Ledger } from './database.ts'
import { type Description, describeMedia, describeUpload, type Metadata } from './description.ts'
import type { EventType } from './event-types.ts'
import { isStoredOpen } from './expiry.ts'
import type { OwnerId, UploadId } from './ids.ts'
import { withOwnerShare } from './owner-share.ts'
import { firstValue, onlyRow, onlyValue, rowsOf } from './rows.ts'
import type { EventsTable } from './schema.ts'

export type EventRow = Selectable<EventsTable> & {
  /** Size of a received upload, in its event `upload.received`. */
  received_size: number | null
  /** What is said of its upload, or of its media item, when it is read. */
  described: Pick<Description, 'attachedTo' | 'metadata'>
}

/**
 * How long an event may become visible after one with a higher id. Ids are assigned before the commit, and commits of
 * different uploads overtake each other, so a reader looks back this far.
 * This is an exact bound. We send no statement of a transaction later than `transactionMs` after its begin, as we close
 * its connection then. The network may deliver one up to `idleInTransactionMs` later, unless the database has ended the
 * transaction, and it runs for `statementMs` at most: 55 s in all with `ORDINARY_DEADLINES`. From PostgreSQL 17 on the
 * database itself ends a transaction after `transactionMs`. `deadlines.test.ts` fails where a changed deadline breaks
 * this bound.
 */
export const SETTLED_AFTER_MS = 60_000

/** Events of an owner, or of one of their uploads, by id, with what readers need. */
const eventsOf = (db: Ledger, ownerId: OwnerId, limit: number) =>
  withOwnerShare(db, ownerId)
    .selectFrom('landfall.events as events')
    .leftJoin('landfall.uploads as uploads', 'uploads.id', 'events.upload_id')
    .leftJoin('landfall.media as media', (join) =>
      join.onRef('media.id', '=', 'events.media_id').on(sql<boolean>`events.type not like 'upload.%'`),
    )
    .selectAll('events')
    .select([
      sql<number | null>`case when events.type = 'upload.received' then uploads.size end`.as('received_size'),
      sql<Metadata | null>`case when media.id is null then uploads.metadata end`.as('upload_metadata'),
      'media.metadata',
      'media.attached_type',
      'media.attached_id',
    ])
    .where('events.owner_id', '=', ownerId)
    .orderBy('events.id')
    .limit(limit)

type ReadEvent = Awaited<ReturnType<ReturnType<typeof eventsOf>['execute']>>[number]

const eventRow = ({
  upload_metadata,
  metadata,
  attached_type,
  attached_id,
  ...event
}: ReadEvent): EventRow => {
  const { attachedTo, ...described } = upload_metadata
    ? describeUpload(upload_metadata)
    : describeMedia({ ...NOTHING_SAID, metadata, attached_type, attached_id })
  return { ...event, described: { attachedTo, metadata: described.metadata } }
}

const NOTHING_SAID = { title: null, description: null, told_captions: null }

const eventRows = async (query: ReturnType<typeof eventsOf>): Promise<EventRow[]> =>
  (await query.execute()).map(eventRow)

/** Whether there are events of an owner's upload after `afterId`, and any of these types. */
export async function outlookOfUpload(
  db: Ledger,
  query: { ownerId: OwnerId; uploadId: UploadId; afterId: number; types: readonly EventType[] },
): Promise<{ hasLater: boolean; hasTypes: boolean }> {
  const { ownerId, uploadId, afterId, types } = query
  const ofUpload = sql`select from landfall.events where upload_id = ${uploadId} and owner_id = ${ownerId}`
  return await onlyRow<{ hasLater: boolean; hasTypes: boolean }>(withOwnerShare(db, ownerId))`
    select exists (${ofUpload} and id > ${afterId}::bigint) as "hasLater",
           exists (${ofUpload} and type = any(${types}::text[])) as "hasTypes"`
}

/**
 * Whether a reader of an upload needs to wait for no more events: it has ended, and its media item is not being
 * processed. Its events may be pruned by then.
 */
export async function isUploadOver(db: Ledger, ownerId: OwnerId, id: UploadId): Promise<boolean> {
  const isOver = await firstValue<boolean>(withOwnerShare(db, ownerId))`
    select not ${isStoredOpen('u')} and not exists (
             select 1 from landfall.media m where m.upload_id = u.id and m.status = 'processing'
           ) as is_over
      from landfall.uploads u where u.id = ${id} and u.owner_id = ${ownerId}`
  return isOver ?? true
}

export type EventRange = {
  ownerId: OwnerId
  /** Only this upload; undefined for all of the owner's. */
  uploadId: UploadId | undefined
  /** Exclusive and inclusive bound of the ids. */
  after: number
  upTo: number
  limit: number
}

/** The first `limit` events of a range of ids: page by page, each is read once. */
export async function eventsBetween(db: Ledger, range: EventRange): Promise<EventRow[]> {
  let query = eventsOf(db, range.ownerId, range.limit)
    .where('events.id', '>', range.after)
    .where('events.id', '<=', range.upTo)
  if (range.uploadId !== undefined) query = query.where('events.upload_id', '=', range.uploadId)
  return await eventRows(query)
}

/** The first `limit` events of an owner after `after` that are not among `known`. */
export async function newEvents(
  db: Ledger,
  query: { ownerId: OwnerId; after: number; known: readonly number[]; limit: number },
): Promise<EventRow[]> {
  return await eventRows(
    eventsOf(db, query.ownerId, query.limit)
      .where('events.id', '>', query.after)
      .where(sql<boolean>`events.id <> all(${query.known}::bigint[])`),
  )
}

/** Those of these events of an owner that exist. */
export async function eventsById(db: Ledger, ownerId: OwnerId, ids: readonly number[]): Promise<EventRow[]> {
  return await eventRows(
    eventsOf(db, ownerId, ids.length).where(sql<boolean>`events.id = any(${ids}::bigint[])`),
  )
}

/** What a reader of an owner's events has received: all up to `settled`, and those in `passed`. */
export type OwnerPosition = { settled: number; passed: readonly number[] }

/**
 * The position of a reader that has seen `lastEventId` and left. Events that became visible later with a lower id
 * cannot be told from those it received: it gets the time before once more.
 */
export async function positionAfter(
  db: Ledger,
  ownerId: OwnerId,
  lastEventId: number,
): Promise<OwnerPosition> {
  const last = await withOwnerShare(db, ownerId)
    .selectFrom('landfall.events')
    .select(['id', 'created_at'])
    .where('owner_id', '=', ownerId)
    .where('id', '<=', lastEventId)
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst()
  if (!last) return { settled: 0, passed: [] }
  const settled = await lastBefore(db, ownerId, { id: last.id, at: last.created_at })
  return { settled, passed: [last.id] }
}

/** The owner's last event below which no event can become visible any more; 0 for none. */
export async function lastSettled(db: Ledger, ownerId: OwnerId): Promise<number> {
  const at = await onlyValue<Date>(withOwnerShare(db, ownerId))`select now()`
  return await lastBefore(db, ownerId, { id: Number.MAX_SAFE_INTEGER, at })
}

/** The owner's last event up to this id that is at least `SETTLED_AFTER_MS` older than this moment; 0 for none. */
async function lastBefore(db: Ledger, ownerId: OwnerId, limit: { id: number; at: Date }): Promise<number> {
  const row = await withOwnerShare(db, ownerId)
    .selectFrom('landfall.events')
    .select('id')
    .where('owner_id', '=', ownerId)
    .where('id', '<=', limit.id)
    .where('created_at', '<', new Date(limit.at.getTime() - SETTLED_AFTER_MS))
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row?.id ?? 0
}

/** What never changes of an upload. */
export type UploadFacts = { id: UploadId; ownerId: OwnerId; isPartial: boolean }

/** These uploads of any owner; unknown ones are left out. */
export async function factsOfUploads(db: Ledger, ids: readonly string[]): Promise<UploadFacts[]> {
  return await rowsOf<UploadFacts>(db)`
    select id, owner_id as "ownerId", is_partial as "isPartial" from landfall.uploads where id = any(${ids}::text[])`
}
