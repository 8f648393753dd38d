import { sql } from 'kysely'
import type { Ledger } from './database.ts'
import { isOpenNow, isStoredUnended } from './expiry.ts'
import { onlyRow } from './rows.ts'

/** Bytes `[from, to)` of a file that are claimed; some may be on the disk already. */
export type RunningClaim = { key: string; from: number; to: number }

/** What the disk still needs for accepted uploads. */
export type DiskClaims = {
  /** Bytes that the ledger does not count as arrived. */
  bytes: number
  /** Of these, ranges that are being written and may be on the disk. */
  running: readonly RunningClaim[]
}

/** Each costs a look at its file. Ranges beyond this number count as not on the disk. */
const MAX_RUNNING = 1000

/**
 * Claimed bytes: the rest of open uploads of known length; a final upload (tus 1.0 § concatenation) until it is one
 * file, with partials that are copied to the disk first; and moves to the disk. A concatenation whose media item has
 * ended counts only while it is processed again. Costs what is open, by the index on open uploads, and the unassembled
 * concatenations.
 */
export async function readDiskClaims(db: Ledger): Promise<DiskClaims> {
  const isMoving = sql<boolean>`(backend = 'disk' and bytes_to_come > 0 and fenced_until > now())`
  const isSent = sql<boolean>`(storage_backend = 'disk' and (concat is null or is_partial))`
  return await onlyRow<DiskClaims>(db)`
    with finals as materialized (
      select id, media_id, storage_key, size from landfall.uploads
       where id in (select final_id from landfall.upload_concat where position = 0)
         and storage_backend = 'disk' and (${isOpenNow} or state = 'received')
         and not exists (select 1 from landfall.media m where m.id = media_id and m.status in ('rejected', 'failed', 'deleted'))
    ), running as (
      (select storage_key as key, "offset" as from, size as to from landfall.uploads
        where id in (select upload_id from landfall.upload_locks)
          and ${isOpenNow} and ${isSent} and size > "offset"
        order by size - "offset" desc limit ${MAX_RUNNING})
      union all
      (select storage_key, 0, size from finals
        where exists (
          select 1 from landfall.processing_steps s where s.media_id = finals.media_id and s.step = 'assemble'
        )
        limit ${MAX_RUNNING})
    )
    select ((
      select coalesce(sum(size - "offset"), 0) from landfall.uploads where ${isOpenNow} and ${isSent}
    ) + (
      select coalesce(sum(size), 0) from finals
    ) + (
      select coalesce(sum(size), 0) from landfall.uploads u
       where storage_backend = 's3' and is_partial and ${isStoredUnended('u')}
         and exists (
           select 1 from landfall.upload_concat c join finals on finals.id = c.final_id where c.partial_id = u.id
         )
         and not exists (select 1 from landfall.stray_copies where upload_id = u.id and ${isMoving})
    ) + (
      select coalesce(sum(bytes_to_come), 0) from landfall.stray_copies where ${isMoving}
    ))::bigint as bytes, (select coalesce(json_agg(running), '[]') from running) as running`
}

/** Bytes of stored files, by the counters of their owners, and of open uploads. */
export async function storedBytes(db: Ledger) {
  return await onlyRow<{ received: number; open: number }>(db)`
    select (select coalesce(sum(used_bytes), 0) from landfall.quota_usage)::bigint as received,
           (select coalesce(sum("offset"), 0) from landfall.uploads
             where ${isOpenNow} and (concat is null or is_partial))::bigint as open`
}
