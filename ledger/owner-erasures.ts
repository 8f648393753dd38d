import { type Selectable, sql } from 'kysely'
import type { Ledger, LedgerTransaction } from './database.ts'
import type { OwnerId } from './ids.ts'
import { withOwnerLock, withOwnerShare } from './owner-share.ts'
import { lockUsage } from './quotas.ts'
import { changedRows, firstRow, hasRow, onlyRow, rowsOf, run, valuesOf } from './rows.ts'
import type { OwnerErasuresTable } from './schema.ts'

// An erasure removes everything of an owner that was there at its beginning. Its report stays and has no id of the owner:
// it is found by a keyed hash. What it does is in `erasing.ts`.

/** What a report counts. */
export const COUNTED = [
  'uploadsEnded',
  'mediaPurged',
  'bytes',
  'objects',
  'uploads',
  'media',
  'tickets',
  'events',
  'deliveries',
  'deliveriesDropped',
] as const
export type ErasureCounts = Partial<Record<(typeof COUNTED)[number], number>>

/** Uploads for which an erasure waits, by what they wait for. */
export type ErasureWaits = Partial<Record<WaitReason, number>>
/**
 * `requests`: one that still writes to it. `storage`: the removal of its bytes. `lateCalls`: the time until no call to the
 * bucket that was given up can arrive any more. `webhooks`: the delivery of what tells of it.
 */
export type WaitReason = 'requests' | 'storage' | 'lateCalls' | 'webhooks'

export type Erasure = Omit<Selectable<OwnerErasuresTable>, 'counts' | 'waits'> & {
  counts: ErasureCounts
  waits: ErasureWaits | null
  /** Uploads that are not gone yet. */
  left: number
}
/** One that is not done. */
export type RunningErasure = Pick<Erasure, 'id' | 'started_at'> & { owner_id: OwnerId }

/** An upload of this erasure, or one that is to become part of it. */
export const isErased = ({ id, owner_id: ownerId, started_at: at }: RunningErasure) =>
  sql<boolean>`(u.owner_id = ${ownerId} and (u.erasure_id = ${id} or (u.erasure_id is null and u.created_at <= ${at})))`

const shown = sql`
  e.*, (
    select count(*)::int from landfall.uploads u
     where u.owner_id = e.owner_id and (u.erasure_id = e.id or (u.erasure_id is null and u.created_at <= e.started_at))
  ) as left`

type Subject = { ownerId: OwnerId; hash: Buffer }

/**
 * Begins to erase an owner. Returns the erasure that runs where there is one; and the last one again where it is done and
 * the owner has nothing since. Concurrent requests begin one.
 */
export async function beginErasure(
  db: Ledger,
  { ownerId, hash, id }: Subject & { id: string },
  enqueue: (trx: LedgerTransaction, erasureId: string) => Promise<void>,
): Promise<{ erasure: Erasure; isNew: boolean }> {
  return await withOwnerLock(db, ownerId, async (trx) => {
    await run(trx)`select pg_advisory_xact_lock(hashtextextended('landfall.erasure ' || ${ownerId}, 0))`
    const last = await lastErasure(trx, hash)
    if (last && (last.finished_at === null || !(await hasAnything(trx, ownerId))))
      return { erasure: last, isNew: false }
    // By the clock at this moment, and with its milliseconds: what began before has an earlier time.
    await run(trx)`
      insert into landfall.owner_erasures (id, owner_hash, owner_id, started_at)
      values (${id}, ${hash}, ${ownerId}, date_trunc('milliseconds', clock_timestamp()) + interval '1 millisecond')`
    await enqueue(trx, id)
    const erasure = await lastErasure(trx, hash)
    if (!erasure) throw new Error('an erasure was not stored')
    return { erasure, isNew: true }
  })
}

/** The running erasure of an owner, or else the last one. */
export async function findErasure(db: Ledger, { ownerId, hash }: Subject): Promise<Erasure | undefined> {
  return await lastErasure(withOwnerShare(db, ownerId), hash)
}

const lastErasure = (db: Ledger, hash: Buffer) =>
  firstRow<Erasure>(db)`
    select ${shown} from landfall.owner_erasures e where e.owner_hash = ${hash}
     order by e.started_at desc, e.id desc limit 1`

/** Whether any row has the id of this owner. */
const hasAnything = (db: Ledger, ownerId: OwnerId) =>
  hasRow(db)`
    select 1 where ${sql.join(
      OWNED.map((table) => sql`exists (select from ${sql.table(table)} where owner_id = ${ownerId})`),
      sql` or `,
    )}`

/** Tables with the id of an owner, except that of erasures. */
const OWNED = [
  'landfall.uploads',
  'landfall.media',
  'landfall.upload_tickets',
  'landfall.stream_tickets',
  'landfall.events',
  'landfall.webhook_deliveries',
  'landfall.quotas',
  'landfall.quota_usage',
  'landfall.turns',
] as const

// The rest is for the worker.

/** The erasure of a job; undefined where it is done. */
export async function runningErasure(db: Ledger, id: string): Promise<RunningErasure | undefined> {
  return await firstRow<RunningErasure>(db)`
    select id, owner_id, started_at from landfall.owner_erasures where id = ${id} and finished_at is null`
}

/** Erasures that run for longer than so long: their jobs may be lost. */
export async function longErasures(db: Ledger, ageMs: number, limit: number): Promise<string[]> {
  return await valuesOf<string>(db)`
    select id from landfall.owner_erasures
     where finished_at is null and started_at < now() - make_interval(secs => ${ageMs / 1000}::float8)
     order by started_at limit ${limit}`
}

/** Adds to what an erasure has counted, in the transaction that does it. */
export async function countErased(trx: LedgerTransaction, id: string, more: ErasureCounts): Promise<void> {
  if (Object.values(more).every((count) => count === 0)) return
  await run(trx)`
    update landfall.owner_erasures e set counts = (
      select jsonb_object_agg(key, total) from (
        select key, sum(value::bigint) as total from (
          select * from jsonb_each_text(e.counts) union all select * from jsonb_each_text(${JSON.stringify(more)}::jsonb)
        ) counted group by key
      ) totals
    ) where id = ${id}`
}

/** Records what an erasure waits for. */
export async function recordWaits(db: Ledger, id: string, waits: ErasureWaits): Promise<void> {
  await run(db)`update landfall.owner_erasures set waits = ${JSON.stringify(waits)}::jsonb where id = ${id}`
}

/**
 * Removes the last rows of the owner, and its id from the erasure, which is done then. Returns false where an upload that
 * belongs to the erasure has become visible meanwhile. The limits, counters and turns of an owner who has begun something
 * since are kept.
 */
export async function finishErasure(db: Ledger, erasure: RunningErasure): Promise<boolean> {
  const { id, owner_id: ownerId } = erasure
  return await withOwnerLock(db, ownerId, async (trx) => {
    // Nobody begins an upload of this owner until the transaction is over.
    await lockUsage(trx, ownerId)
    const { more, isLeft } = await onlyRow<{ more: boolean; isLeft: boolean }>(trx)`
      select exists (select from landfall.uploads u where ${isErased(erasure)}) as more,
             exists (select from landfall.uploads where owner_id = ${ownerId})
             or exists (select from landfall.upload_tickets where owner_id = ${ownerId}) as "isLeft"`
    if (more) return false
    const kept = isLeft ? ['landfall.quotas', 'landfall.quota_usage', 'landfall.turns'] : []
    for (const table of [
      'landfall.stream_tickets',
      'landfall.turns',
      'landfall.quotas',
      'landfall.quota_usage',
    ])
      if (!kept.includes(table)) await run(trx)`delete from ${sql.table(table)} where owner_id = ${ownerId}`
    await run(trx)`
      update landfall.owner_erasures
         set owner_id = null, finished_at = clock_timestamp(), waits = null, is_owner_left = ${isLeft}
       where id = ${id}`
    return true
  })
}

/** Deletes reports of erasures that were done so long ago. Returns how many. */
export async function pruneErasures(db: Ledger, ageMs: number, limit: number): Promise<number> {
  return await changedRows(db)`
    delete from landfall.owner_erasures where id in (
      select id from landfall.owner_erasures
       where finished_at < now() - make_interval(secs => ${ageMs / 1000}::float8) order by finished_at limit ${limit}
    )`
}

/** Of rows with these ids: locks them in the order of all who lock several. */
export const lockRows = (
  trx: LedgerTransaction,
  table: 'landfall.uploads' | 'landfall.media',
  column: 'id' | 'upload_id',
  ids: readonly string[],
) =>
  rowsOf<{ id: string }>(trx)`
    select id from ${sql.table(table)} where ${sql.ref(column)} = any(${ids}::text[]) order by id for update`
