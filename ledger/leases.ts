import { sql } from 'kysely'
import { Batches, perLedger } from './batches.ts'
import { type Ledger, PREPARED } from './database.ts'
import type { OwnerId, UploadId } from './ids.ts'
import { withOwnerShare } from './owner-share.ts'

export type TakeResult =
  | { kind: 'taken' }
  /** Somebody else holds it; the row now says that it is wanted. */
  | { kind: 'held'; expiresInMs: number }
  /** No such upload, or not this owner's. */
  | { kind: 'absent' }

export type WantedLease = {
  uploadId: UploadId
  ownerId: OwnerId
  holder: string
  fence: string
  ttlMs: number
}

/** Takes the lease on an upload, or marks the holder's lease as contended. An expired lease is taken over. */
export async function takeLease(db: Ledger, lease: WantedLease): Promise<TakeResult> {
  return await takes(db).add(lease)
}

const takes = perLedger(
  (db) =>
    new Batches<WantedLease, TakeResult>({
      ownerOf: ({ ownerId }) => ownerId,
      together: (leases) => takeTogether(db, leases),
      alone: (lease) => takeAlone(db, lease),
    }),
)

/** Takes leases that nobody has. Who has one, or may have one in a moment, is for `takeAlone` to find out. */
async function takeTogether(db: Ledger, leases: readonly WantedLease[]): Promise<(TakeResult | undefined)[]> {
  const wanted = leases.map(({ uploadId, ownerId, holder, fence, ttlMs }) => ({
    upload_id: uploadId,
    owner_id: ownerId,
    holder,
    fence,
    lives_for: ttlMs / 1000,
  }))
  const { rows } = await sql<{ fence: string }>`
    ${PREPARED} insert into landfall.upload_locks (upload_id, holder, fence, expires_at)
    select u.id, w.holder, w.fence, now() + make_interval(secs => w.lives_for)
      from jsonb_to_recordset(${JSON.stringify(wanted)}::jsonb) as w (
             upload_id text, owner_id text, holder text, fence uuid, lives_for float8)
      join landfall.uploads u on u.id = w.upload_id and u.owner_id = w.owner_id
     where not exists (select 1 from landfall.upload_locks l where l.upload_id = w.upload_id)
    on conflict do nothing
    returning fence::text`.execute(db)
  const taken = new Set(rows.map(({ fence }) => fence))
  return leases.map(({ fence }) => (taken.has(fence) ? { kind: 'taken' } : undefined))
}

/**
 * Takes the lease on an upload, or marks the holder's lease as contended: one statement, so that a
 * holder that releases in between either leaves the row free for us or sees the mark. An expired
 * lease is taken over. Times are the database's own, of one moment in each statement.
 */
async function takeAlone(db: Ledger, lease: WantedLease): Promise<TakeResult> {
  const ttl = sql`make_interval(secs => ${lease.ttlMs / 1000})`
  const { rows } = await sql<{ taken: boolean; expires_in_ms: number }>`
    insert into landfall.upload_locks as held (upload_id, holder, fence, expires_at)
    select id, ${lease.holder}, ${lease.fence}::uuid, now() + ${ttl}
      from landfall.uploads where id = ${lease.uploadId} and owner_id = ${lease.ownerId}
    on conflict (upload_id) do update set
      holder     = case when held.expires_at <= now() then excluded.holder else held.holder end,
      fence      = case when held.expires_at <= now() then excluded.fence else held.fence end,
      contended  = held.expires_at > now(),
      expires_at = case when held.expires_at <= now() then excluded.expires_at else held.expires_at end
    returning fence = ${lease.fence}::uuid as taken,
      (extract(epoch from expires_at - now()) * 1000)::float8 as expires_in_ms`.execute(
    withOwnerShare(db, lease.ownerId),
  )
  const row = rows[0]
  if (!row) return { kind: 'absent' }
  return row.taken ? { kind: 'taken' } : { kind: 'held', expiresInMs: Math.max(0, row.expires_in_ms) }
}

export type HeldLease = { uploadId: UploadId; fence: string }

/** What became of leases that were to be renewed, by fence; one that is in neither is lost. */
export type Renewals = {
  renewed: Map<string, { contended: boolean }>
  /** Their rows are there, but somebody has them locked: they last as long as they did. */
  skipped: Set<string>
}

/**
 * Extends these leases, each found by its upload: there is no index on fences. A row that is locked is skipped: one
 * transaction that died without a word must not keep the others from being renewed for as long as its lock lasts.
 */
export async function renewLeases(db: Ledger, held: readonly HeldLease[], ttlMs: number): Promise<Renewals> {
  const { rows } = await sql<{ fence: string; contended: boolean | null }>`
    with held as materialized (
      select upload_id, fence from landfall.upload_locks
       where upload_id = any(${held.map(({ uploadId }) => uploadId)}::text[])
         and fence = any(${held.map(({ fence }) => fence)}::uuid[])
    ), free as materialized (
      select l.upload_id, l.fence from landfall.upload_locks l
       where l.upload_id = any(${held.map(({ uploadId }) => uploadId)}::text[])
         and l.fence = any(${held.map(({ fence }) => fence)}::uuid[]) for update skip locked
    ), renewed as (
      update landfall.upload_locks l
         set expires_at = now() + make_interval(secs => ${ttlMs / 1000})
        from free where l.upload_id = free.upload_id and l.fence = free.fence
      returning l.fence, l.contended
    )
    select held.fence::text, renewed.contended from held left join renewed using (fence)`.execute(db)
  const renewed = new Map<string, { contended: boolean }>()
  const skipped = new Set<string>()
  for (const { fence, contended } of rows) {
    if (contended === null) skipped.add(fence)
    else renewed.set(fence, { contended })
  }
  return { renewed, skipped }
}

/** Gives a lease back. Returns whether somebody waits for it. A lost lease is no error. */
export async function releaseLease(db: Ledger, uploadId: UploadId, fence: string): Promise<boolean> {
  const row = await db
    .deleteFrom('upload_locks')
    .where('upload_id', '=', uploadId)
    .where('fence', '=', fence)
    .returning('contended')
    .executeTakeFirst()
  return row?.contended ?? false
}

/**
 * Frees every lease. Only for a server that knows itself to be the only one on this database:
 * what a killed predecessor held would otherwise block its clients until it expired.
 */
export async function clearLeases(db: Ledger): Promise<void> {
  await db.deleteFrom('upload_locks').execute()
}
