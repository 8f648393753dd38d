import { sql } from 'kysely'
import type { Ledger } from './database.ts'
import { isExpired } from './expiry.ts'
import type { OwnerId } from './ids.ts'
import { withOwnerShare } from './owner-share.ts'

/** Limits for owners without a row in `quotas`; null means unlimited. */
export type QuotaDefaults = { bytes: number | null; uploads: number | null; openUploads: number }

export type Quota = {
  bytes: { limit: number | null; used: number; reserved: number }
  uploads: { limit: number | null; finished: number; open: number; maxOpen: number; partials: number }
}

/**
 * An owner's limits and usage. Owners without a row have used nothing. Expired uploads are not counted, though the
 * counters include them until they are marked.
 */
export async function readQuota(db: Ledger, ownerId: OwnerId, defaults: QuotaDefaults): Promise<Quota> {
  const { rows } = await sql<{
    bytes_limit: number | null
    uploads_limit: number | null
    used_bytes: number
    reserved_bytes: number
    open_uploads: number
    finished_uploads: number
    open_partials: number
  }>`
    select q.bytes_limit, q.uploads_limit,
           coalesce(u.used_bytes, 0) as used_bytes,
           greatest(coalesce(u.reserved_bytes, 0) - expired.bytes, 0) as reserved_bytes,
           greatest(coalesce(u.open_uploads, 0) - expired.uploads, 0) as open_uploads,
           coalesce(u.finished_uploads, 0) as finished_uploads,
           greatest(coalesce(u.open_partials, 0) - expired.partials, 0) as open_partials
      from (select ${ownerId}::text as owner_id) as owner
      left join landfall.quotas q using (owner_id)
      left join landfall.quota_usage u using (owner_id)
      cross join (
        select coalesce(sum(reserved_bytes), 0)::bigint as bytes, count(*) filter (where not is_partial) as uploads,
               count(*) filter (where is_partial) as partials
          from landfall.uploads where owner_id = ${ownerId} and state = 'open' and ${isExpired}
      ) as expired`.execute(withOwnerShare(db, ownerId))
  const row = rows[0]
  if (!row) throw new Error('quota query gave no row')
  return {
    bytes: {
      limit: row.bytes_limit ?? defaults.bytes,
      used: Number(row.used_bytes),
      reserved: Number(row.reserved_bytes),
    },
    uploads: {
      limit: row.uploads_limit ?? defaults.uploads,
      finished: Number(row.finished_uploads),
      open: Number(row.open_uploads),
      maxOpen: defaults.openUploads,
      partials: Number(row.open_partials),
    },
  }
}
