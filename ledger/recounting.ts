import { type RawBuilder, sql } from 'kysely'
import type { Ledger, LedgerTransaction } from './database.ts'
import { isStoredOpen } from './expiry.ts'
import { type Owner, type OwnerId, ownerOf } from './ids.ts'
import { withOwnerLock } from './owner-share.ts'
import { lockUsage } from './quotas.ts'
import { type DuePage, pageOf } from './reaping.ts'
import { onlyRow, rowsOf, run, valuesOf } from './rows.ts'

// Usage is kept in counters, so that creations need not add it up. These functions recount it from the rows, which are
// authoritative, while servers run.

export type Counters = {
  reservedBytes: number
  usedBytes: number
  openUploads: number
  finishedUploads: number
  openPartials: number
}

/** The counters of an owner before and after a recount. */
export type Recount = Owner & { before: Counters; after: Counters }

/** Owners whose counters would have become negative, the first noticed first: a page of `limit`. */
export async function inconsistentOwners(
  db: Ledger,
  limit: number,
  after?: DuePage<OwnerId>['next'],
): Promise<DuePage<OwnerId>> {
  const rows = await rowsOf<{ id: OwnerId; at: string }>(db)`
    select owner_id as id, inconsistent_since::text as at from landfall.quota_usage
     where inconsistent_since is not null
       and (inconsistent_since, owner_id) > (${after?.at ?? '-infinity'}::timestamptz, ${after?.id ?? ''})
     order by inconsistent_since, owner_id limit ${limit}`
  return pageOf(rows, limit)
}

/**
 * Owners whose counters do not match their rows, in one statement and so as of one moment. Reads all of `uploads` and
 * `media`.
 */
export async function miscountedOwners(db: Ledger): Promise<OwnerId[]> {
  return await valuesOf<OwnerId>(db)`
    select coalesce(u.owner_id, c.owner_id) as owner_id
      from landfall.quota_usage u
      full join (${countedBy(sql`true`)}) c on c.owner_id = u.owner_id
     where (coalesce(u.reserved_bytes, 0), coalesce(u.used_bytes, 0), coalesce(u.open_uploads, 0),
            coalesce(u.finished_uploads, 0), coalesce(u.open_partials, 0))
           is distinct from (coalesce(c.reserved_bytes, 0), coalesce(c.used_bytes, 0), coalesce(c.open_uploads, 0),
                             coalesce(c.finished_uploads, 0), coalesce(c.open_partials, 0))
        or u.inconsistent_since is not null
     order by 1`
}

/** Sets an owner's counters to what the rows say. It locks the row that every change of this owner's usage locks. */
export async function recountOwner(db: Ledger, ownerId: OwnerId): Promise<Recount> {
  return await withOwnerLock(db, ownerId, async (trx) => {
    await lockUsage(trx, ownerId)
    const before = await readCounters(trx, ownerId)
    // A statement of its own sees everything committed before the lock was taken.
    await run(trx)`
      with counted as (${countedBy(sql`owner_id = ${ownerId}`)})
      update landfall.quota_usage u
         set reserved_bytes = coalesce(c.reserved_bytes, 0), used_bytes = coalesce(c.used_bytes, 0),
             open_uploads = coalesce(c.open_uploads, 0), finished_uploads = coalesce(c.finished_uploads, 0),
             open_partials = coalesce(c.open_partials, 0), inconsistent_since = null
        from (select 1) as one left join counted c on true
       where u.owner_id = ${ownerId}`
    return { ...ownerOf(ownerId), before, after: await readCounters(trx, ownerId) }
  })
}

async function readCounters(trx: LedgerTransaction, ownerId: OwnerId): Promise<Counters> {
  return await onlyRow<Counters>(trx)`
    select reserved_bytes as "reservedBytes", used_bytes as "usedBytes", open_uploads as "openUploads",
           finished_uploads as "finishedUploads", open_partials as "openPartials"
      from landfall.quota_usage where owner_id = ${ownerId}`
}

/**
 * The usage of owners by their rows: reservations of open uploads, and files until they are purged or their upload was
 * rejected. `which` selects rows of `uploads` and `media`.
 */
const countedBy = (which: RawBuilder<unknown>) => sql`
  select owner_id, sum(reserved_bytes)::bigint as reserved_bytes, sum(used_bytes)::bigint as used_bytes,
         sum(open_uploads)::bigint as open_uploads, sum(finished_uploads)::bigint as finished_uploads,
         sum(open_partials)::bigint as open_partials
    from (
      select owner_id, sum(reserved_bytes) as reserved_bytes, 0 as used_bytes,
             count(*) filter (where not is_partial) as open_uploads, 0 as finished_uploads,
             count(*) filter (where is_partial) as open_partials
        from landfall.uploads where ${isStoredOpen()} and ${which} group by owner_id
      union all
      select owner_id, 0, sum(size), 0, count(*), 0
        from landfall.media
       where status <> 'deleted' and status <> 'rejected' and ${which} group by owner_id
      union all
      select m.owner_id, 0, sum(m.size), 0, count(*), 0
        from (
          select owner_id, size, upload_id from landfall.media
           where status = 'deleted' and purged_at is null and ${which}
        ) m
        join landfall.uploads u on u.id = m.upload_id and u.state <> 'rejected'
       group by m.owner_id
    ) as parts
   group by owner_id`
