import { sql } from 'kysely'
import { Batches, perLedger } from './batches.ts'
import type { Ledger } from './database.ts'
import type { OwnerId, UploadId } from './ids.ts'
import { type Fenced, releasedLease } from './lease-fragments.ts'
import { withOwnerShare } from './owner-share.ts'
import { prepared } from './prepared.ts'
import { rowsOf } from './rows.ts'

export type TakeResult =
  | { kind: 'taken' }
  /** Held by another request; the row now says that it is wanted. */
  | { kind: 'held'; expiresInMs: number }
  /** No such upload of this owner. */
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

/** Takes free leases. Leases that are held or locked are left to `takeAlone`. */
async function takeTogether(db: Ledger, leases: readonly WantedLease[]): Promise<(TakeResult | undefined)[]> {
  const wanted = leases.map(({ uploadId, ownerId, holder, fence, ttlMs }) => ({
    upload_id: uploadId,
    owner_id: ownerId,
    holder,
    fence,
    lives_for: ttlMs / 1000,
  }))
  const rows = await takeFree(db, { wanted: JSON.stringify(wanted) })
  const taken = new Set(rows.map(({ fence }) => fence))
  return leases.map(({ fence }) => (taken.has(fence) ? { kind: 'taken' } : undefined))
}

const takeFree = prepared<{ wanted: string }, { fence: string }>(
  (slot) => sql`
    insert into landfall.upload_locks (upload_id, holder, fence, expires_at)
    select u.id, w.holder, w.fence, now() + make_interval(secs => w.lives_for)
      from jsonb_to_recordset(${slot('wanted')}::jsonb) as w (
             upload_id text, owner_id text, holder text, fence uuid, lives_for float8)
      join landfall.uploads u on u.id = w.upload_id and u.owner_id = w.owner_id
     where not exists (select 1 from landfall.upload_locks l where l.upload_id = w.upload_id)
    on conflict do nothing
    returning fence::text`,
)

/**
 * Takes the lease on an upload, or marks the holder's lease as contended, in one statement: a holder that releases at
 * the same time either leaves the row free or sees the mark. An expired lease is taken over. All times are the
 * database's.
 */
async function takeAlone(db: Ledger, lease: WantedLease): Promise<TakeResult> {
  const [row] = await takeOrWant(withOwnerShare(db, lease.ownerId), lease)
  if (!row) return { kind: 'absent' }
  return row.taken ? { kind: 'taken' } : { kind: 'held', expiresInMs: Math.max(0, row.expires_in_ms) }
}

const takeOrWant = prepared<WantedLease, { taken: boolean; expires_in_ms: number }>(
  (slot) => sql`
    insert into landfall.upload_locks as held (upload_id, holder, fence, expires_at)
    select id, ${slot('holder')}::text, ${slot('fence')}::uuid, now() + make_interval(secs => ${slot('ttlMs')}::float8 / 1000)
      from landfall.uploads where id = ${slot('uploadId')} and owner_id = ${slot('ownerId')}
    on conflict (upload_id) do update set
      holder     = case when held.expires_at <= now() then excluded.holder else held.holder end,
      fence      = case when held.expires_at <= now() then excluded.fence else held.fence end,
      contended  = held.expires_at > now(),
      expires_at = case when held.expires_at <= now() then excluded.expires_at else held.expires_at end
    returning fence = ${slot('fence')}::uuid as taken,
      (extract(epoch from expires_at - now()) * 1000)::float8 as expires_in_ms`,
)

export type HeldLease = { uploadId: UploadId; fence: string }

/** Results of renewals, by fence; a lease in neither set is lost. */
export type Renewals = {
  renewed: Map<string, { contended: boolean }>
  /** Their rows are locked by others: they keep their expiry. */
  skipped: Set<string>
}

/**
 * Extends these leases, found by upload, as fences have no index. Locked rows are skipped, so that one stuck
 * transaction does not delay the renewal of the others.
 */
export async function renewLeases(db: Ledger, held: readonly HeldLease[], ttlMs: number): Promise<Renewals> {
  const rows = await rowsOf<{ fence: string; contended: boolean | null }>(db)`
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
    select held.fence::text, renewed.contended from held left join renewed using (fence)`
  const renewed = new Map<string, { contended: boolean }>()
  const skipped = new Set<string>()
  for (const { fence, contended } of rows) {
    if (contended === null) skipped.add(fence)
    else renewed.set(fence, { contended })
  }
  return { renewed, skipped }
}

/** Releases a lease. Returns whether another request waits for it. A lost lease is not an error. */
export async function releaseLease(db: Ledger, uploadId: UploadId, fence: string): Promise<boolean> {
  const [row] = await giveBack(db, { id: uploadId, fence })
  return row?.contended ?? false
}

const giveBack = prepared<Fenced, { contended: boolean }>(
  (slot) => sql`
    with ${releasedLease({ id: slot('id'), fence: slot('fence') })} select contended from lease`,
)

/**
 * Frees every lease. Only for a server that is known to be the only one on this database: leases of a killed
 * predecessor would block its clients until they expire.
 */
export async function clearLeases(db: Ledger): Promise<void> {
  await db.deleteFrom('landfall.upload_locks').execute()
}
