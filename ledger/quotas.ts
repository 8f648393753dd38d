import { type RawBuilder, sql } from 'kysely'
import type { Ledger, LedgerTransaction } from './database.ts'
import { isOpenNow, isStoredOpen, isUnmarked } from './expiry.ts'
import type { OwnerId } from './ids.ts'
import { withOwnerShare } from './owner-share.ts'
import type { InSql } from './prepared.ts'
import { onlyRow, run } from './rows.ts'

/** Limits for owners without a row in `quotas`; null means unlimited. */
export type QuotaDefaults = { bytes: number | null; uploads: number | null; openUploads: number }

export type Quota = {
  /** `reservedByPartials`: the part of `reserved` that partial uploads hold; the rest is that of open uploads. */
  bytes: { limit: number | null; used: number; reserved: number; reservedByPartials: number }
  uploads: { limit: number | null; finished: number; open: number; maxOpen: number; partials: number }
}

type Usage = Omit<Quota['bytes'], 'limit'> &
  Omit<Quota['uploads'], 'limit' | 'maxOpen'> &
  Record<'bytesLimit' | 'uploadsLimit', number | null>

/**
 * An owner's limits and usage. Owners without a row have used nothing. Expired uploads are not counted, though the
 * counters include them until they are marked.
 */
export async function readQuota(db: Ledger, ownerId: OwnerId, defaults: QuotaDefaults): Promise<Quota> {
  const own = withOwnerShare(db, ownerId)
  const { bytesLimit, uploadsLimit, used, reserved, reservedByPartials, ...counts } = await onlyRow<Usage>(
    own,
  )`
    select q.bytes_limit as "bytesLimit", q.uploads_limit as "uploadsLimit",
           coalesce(u.used_bytes, 0) as used,
           greatest(coalesce(u.reserved_bytes, 0) - held.expired_bytes, 0) as reserved,
           held.by_partials as "reservedByPartials",
           greatest(coalesce(u.open_uploads, 0) - held.expired_uploads, 0) as open,
           coalesce(u.finished_uploads, 0) as finished,
           greatest(coalesce(u.open_partials, 0) - held.expired_partials, 0) as partials
      from (select ${ownerId}::text as owner_id) as owner
      left join landfall.quotas q using (owner_id)
      left join landfall.quota_usage u using (owner_id)
      cross join (
        select coalesce(sum(reserved_bytes) filter (where ${isUnmarked}), 0)::bigint as expired_bytes,
               count(*) filter (where ${isUnmarked} and not is_partial) as expired_uploads,
               count(*) filter (where ${isUnmarked} and is_partial) as expired_partials,
               coalesce(sum(reserved_bytes) filter (where is_partial and ${isOpenNow}), 0)::bigint as by_partials
          from landfall.uploads where owner_id = ${ownerId} and ${isStoredOpen()}
      ) as held`
  return {
    bytes: { limit: bytesLimit ?? defaults.bytes, used, reserved, reservedByPartials },
    uploads: { limit: uploadsLimit ?? defaults.uploads, maxOpen: defaults.openUploads, ...counts },
  }
}

/** Sets limits of an owner: null for the default, undefined to leave one as it is. */
export async function setLimits(
  db: Ledger,
  ownerId: OwnerId,
  { bytes, uploads }: { bytes?: number | null | undefined; uploads?: number | null | undefined },
): Promise<void> {
  await run(withOwnerShare(db, ownerId))`
    insert into landfall.quotas as q (owner_id, bytes_limit, uploads_limit)
    values (${ownerId}, ${bytes ?? null}, ${uploads ?? null})
    on conflict (owner_id) do update set
      bytes_limit = ${bytes === undefined ? sql`q.bytes_limit` : sql`excluded.bytes_limit`},
      uploads_limit = ${uploads === undefined ? sql`q.uploads_limit` : sql`excluded.uploads_limit`}`
}

/** The row of what an owner uses is there, and nobody else changes it before the transaction is over. */
export async function lockUsage(trx: LedgerTransaction, ownerId: OwnerId): Promise<void> {
  await run(trx)`insert into landfall.quota_usage (owner_id) values (${ownerId}) on conflict do nothing`
  await run(trx)`select 1 from landfall.quota_usage where owner_id = ${ownerId} for update`
}

// What a statement changes of uploads and media it changes in the usage of their owners, by one of these updates: of the
// rows that the expression named `from` returns, added up for each owner. The row of the usage is the last that a
// statement locks.

/** Unfinished partial uploads that are allowed for each open upload of the quota. */
export const PARTIALS_PER_UPLOAD = 16

/** Of rows of `uploads`: `owner_id, reserved_bytes, size, is_partial`. */
const perOwner = (from: string, where: RawBuilder<unknown> = sql`true`) => sql`(
  select owner_id, sum(reserved_bytes)::bigint as reserved,
         coalesce(sum(size) filter (where not is_partial), 0)::bigint as bytes,
         count(*) filter (where not is_partial) as uploads, count(*) filter (where is_partial) as partials
    from ${sql.table(from)} where ${where} group by owner_id
)`

/**
 * Holds quota for new uploads, of every owner who has room for all of theirs; without `defaults` whether they have.
 * Returns `owner_id` of those owners.
 */
export const reserve = (from: string, defaults?: InSql<QuotaDefaults>): RawBuilder<unknown> => sql`
  insert into landfall.quota_usage as u (owner_id, reserved_bytes, open_uploads, open_partials)
  select owner_id, reserved, uploads, partials from ${perOwner(from)} w
   where ${defaults ? hasRoom(defaults, FIRST) : sql`true`}
  on conflict (owner_id) do update set
    reserved_bytes = u.reserved_bytes + excluded.reserved_bytes,
    open_uploads = u.open_uploads + excluded.open_uploads,
    open_partials = u.open_partials + excluded.open_partials
   where ${defaults ? hasRoom(defaults, MORE) : sql`true`}
  returning owner_id`

/** What an owner would use: of one who has no row yet, and of one who has. */
const FIRST = {
  ownerId: sql`w.owner_id`,
  bytes: sql`w.reserved`,
  open: sql`w.uploads`,
  partials: sql`w.partials`,
  // A partial upload is none of those that are counted, but there has to be room for the file that it is for.
  uploads: sql`greatest(w.uploads, 1)`,
}
const MORE = {
  ownerId: sql`excluded.owner_id`,
  bytes: sql`u.used_bytes + u.reserved_bytes + excluded.reserved_bytes`,
  open: sql`u.open_uploads + excluded.open_uploads`,
  partials: sql`u.open_partials + excluded.open_partials`,
  uploads: sql`u.open_uploads + u.finished_uploads + greatest(excluded.open_uploads, 1)`,
}

function hasRoom({ openUploads, bytes, uploads }: InSql<QuotaDefaults>, wanted: typeof FIRST) {
  const limit = (name: string, otherwise: InSql<QuotaDefaults>['bytes']) =>
    sql`coalesce((select ${sql.ref(name)} from landfall.quotas q where q.owner_id = ${wanted.ownerId}), ${otherwise}::bigint)`
  return sql`
    ${wanted.open} <= ${openUploads}::bigint
    and ${wanted.partials} <= ${openUploads}::bigint * ${sql.lit(PARTIALS_PER_UPLOAD)}
    and coalesce(${wanted.bytes} <= ${limit('bytes_limit', bytes)}, true)
    and coalesce(${wanted.uploads} <= ${limit('uploads_limit', uploads)}, true)`
}

/** The length of uploads has become known: they hold `bytes` from now on. */
export const changeReservation = (from: string, bytes: number): RawBuilder<unknown> => sql`
  update landfall.quota_usage u set reserved_bytes = u.reserved_bytes + c.change
    from (
      select owner_id, sum(${bytes}::bigint - reserved_bytes)::bigint as change from ${sql.table(from)} group by owner_id
    ) c where u.owner_id = c.owner_id`

/**
 * Files were received: what they had reserved, and the partials they were made of, is used from now on. `charge` sets the
 * turn of their owner's line for processing, by `r.bytes` or what `join` adds to `r`.
 */
export const convert = (from: string, charge: RawBuilder<unknown>, join = sql``): RawBuilder<unknown> => sql`
  update landfall.quota_usage u
     set reserved_bytes = u.reserved_bytes - r.reserved, used_bytes = u.used_bytes + r.bytes,
         open_uploads = u.open_uploads - r.uploads, finished_uploads = u.finished_uploads + r.uploads,
         open_partials = u.open_partials - r.partials, ${charge}
    from ${perOwner(from)} r ${join} where u.owner_id = r.owner_id`

/** Open uploads have ended without being received, those of which `where` is true. */
export const release = (from: string, where?: RawBuilder<unknown>): RawBuilder<unknown> => sql`
  update landfall.quota_usage u
     set reserved_bytes = u.reserved_bytes - e.reserved, open_uploads = u.open_uploads - e.uploads,
         open_partials = u.open_partials - e.partials
    from ${perOwner(from, where)} e where u.owner_id = e.owner_id`

/** Media items, `owner_id` and `size`, count no more. */
export const giveBackUsed = (from: string): RawBuilder<unknown> => sql`
  update landfall.quota_usage u
     set used_bytes = u.used_bytes - m.bytes, finished_uploads = u.finished_uploads - m.files
    from (
      select owner_id, sum(size)::bigint as bytes, count(*) as files from ${sql.table(from)} group by owner_id
    ) m where u.owner_id = m.owner_id`
