import { type Selectable, sql } from 'kysely'
import type { Ledger } from './database.ts'
import type { OwnerId, UploadId } from './ids.ts'
import type { EventsTable } from './schema.ts'

export type EventRow = Selectable<EventsTable>

/**
 * How long an event may become visible after one with a higher id. Ids are given out before the commit, and the
 * commits of different uploads overtake each other, so a reader looks back this far.
 *
 * That is a bound, not a guess. We send no statement of a transaction later than `transactionMs` after its begin, as we
 * end its connection then. What is under way by then the network may bring up to `idleInTransactionMs` later, or else
 * the database has ended the transaction, and it runs for `statementMs` at most: 55 s in all with
 * `ORDINARY_DEADLINES`. From PostgreSQL 17 on the database itself ends a transaction after `transactionMs`. Whoever
 * changes a deadline is told by `deadlines.test.ts`.
 */
export const SETTLED_AFTER_MS = 60_000

/**
 * The first `limit` events of an owner's upload after `afterId`, oldest first. The changes of one upload follow
 * each other, so their ids rise in the order in which they became visible.
 */
export async function eventsOfUpload(
  db: Ledger,
  query: { ownerId: OwnerId; uploadId: UploadId; afterId: number; limit: number },
): Promise<EventRow[]> {
  return await db
    .selectFrom('events')
    .selectAll()
    .where('upload_id', '=', query.uploadId)
    .where('owner_id', '=', query.ownerId)
    .where('id', '>', query.afterId)
    .orderBy('id')
    .limit(query.limit)
    .execute()
}

/** What a reader of an owner's events has had: everything up to `settled`, and those of `passed`. */
export type OwnerPosition = { settled: number; passed: readonly number[] }

/** The first `limit` events of an owner that a reader has not had, lowest id first. */
export async function eventsOfOwner(
  db: Ledger,
  query: { ownerId: OwnerId; position: OwnerPosition; limit: number },
): Promise<EventRow[]> {
  return await db
    .selectFrom('events')
    .selectAll()
    .where('owner_id', '=', query.ownerId)
    .where('id', '>', query.position.settled)
    .where(sql<boolean>`id <> all(${query.position.passed}::bigint[])`)
    .orderBy('id')
    .limit(query.limit)
    .execute()
}

/**
 * The position of a reader who has seen `lastEventId` and left. What became visible with a lower id after it left is
 * not told from what it had: the events of the time before are to be read again.
 */
export async function positionAfter(
  db: Ledger,
  ownerId: OwnerId,
  lastEventId: number,
): Promise<OwnerPosition> {
  const last = await db
    .selectFrom('events')
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

/** The position of a reader who wants what happens from now on. */
export async function positionNow(db: Ledger, ownerId: OwnerId): Promise<OwnerPosition> {
  const settled = await lastBefore(db, ownerId, { id: Number.MAX_SAFE_INTEGER, at: await databaseTime(db) })
  const passed = await db
    .selectFrom('events')
    .select('id')
    .where('owner_id', '=', ownerId)
    .where('id', '>', settled)
    .execute()
  return { settled, passed: passed.map(({ id }) => id) }
}

async function databaseTime(db: Ledger): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select now()`.execute(db)
  return rows[0]?.now ?? new Date()
}

/** The owner's last event up to this id that is older than this moment by `SETTLED_AFTER_MS`; 0 for none. */
async function lastBefore(db: Ledger, ownerId: OwnerId, limit: { id: number; at: Date }): Promise<number> {
  const row = await db
    .selectFrom('events')
    .select('id')
    .where('owner_id', '=', ownerId)
    .where('id', '<=', limit.id)
    .where('created_at', '<', new Date(limit.at.getTime() - SETTLED_AFTER_MS))
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row?.id ?? 0
}

/** Whose these uploads are; those that there are not are missing. */
export async function ownersOfUploads(db: Ledger, ids: readonly string[]): Promise<Map<string, OwnerId>> {
  const { rows } = await sql<{ id: string; owner_id: OwnerId }>`
    select id, owner_id from landfall.uploads where id = any(${ids}::text[])`.execute(db)
  return new Map(rows.map((row) => [row.id, row.owner_id]))
}
