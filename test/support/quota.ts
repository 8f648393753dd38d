import { sql } from 'kysely'
import type { Ledger } from '../../ledger/database.ts'
import { asOwnerId } from './ids.ts'

export type Usage = {
  owner_id: string
  reserved_bytes: number
  used_bytes: number
  open_uploads: number
  finished_uploads: number
  open_partials: number
}

/** What the ledger counts for these owners; an owner without a row has used nothing. */
export async function countedUsage(db: Ledger, owners: readonly string[]): Promise<Usage[]> {
  const rows = await db
    .selectFrom('landfall.quota_usage')
    .select(['owner_id', 'reserved_bytes', 'used_bytes', 'open_uploads', 'finished_uploads', 'open_partials'])
    .where('owner_id', 'in', owners.map(asOwnerId))
    .execute()
  return owners.map((owner) => rows.find((row) => row.owner_id === owner) ?? { ...NOTHING, owner_id: owner })
}

/**
 * What it ought to count, from the uploads and media themselves: an open upload holds what it reserved, a
 * media item that was neither rejected nor purged what it has.
 */
export async function impliedUsage(db: Ledger, owners: readonly string[]): Promise<Usage[]> {
  const { rows } = await sql<Usage>`
    select owner_id,
           coalesce((select sum(reserved_bytes) from landfall.uploads u
                      where u.owner_id = o.owner_id and state = 'open'), 0)::bigint as reserved_bytes,
           coalesce((select sum(size) from landfall.media m
                      where m.owner_id = o.owner_id and status <> 'rejected' and purged_at is null), 0)::bigint as used_bytes,
           (select count(*) from landfall.uploads u
             where u.owner_id = o.owner_id and state = 'open' and not is_partial) as open_uploads,
           (select count(*) from landfall.uploads u
             where u.owner_id = o.owner_id and state = 'open' and is_partial) as open_partials,
           (select count(*) from landfall.media m
             where m.owner_id = o.owner_id and status <> 'rejected' and purged_at is null) as finished_uploads
      from unnest(${owners}::text[]) with ordinality as o (owner_id, position) order by position`.execute(db)
  return rows
}

const NOTHING = { reserved_bytes: 0, used_bytes: 0, open_uploads: 0, finished_uploads: 0, open_partials: 0 }
