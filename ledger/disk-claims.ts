import { sql } from 'kysely'
import type { Ledger } from './database.ts'
import { isOpenNow } from './expiry.ts'

/**
 * Bytes that the disk still has to take for what was accepted: what open uploads have declared and not sent yet, and
 * all of a final upload (tus 1.0 § concatenation) until it is one file, as that is written beside its partials; and
 * what is being moved there. An upload of deferred length has declared nothing. Costs what is open, by the index on open uploads.
 */
export async function bytesToCome(db: Ledger): Promise<number> {
  const { rows } = await sql<{ bytes: number }>`
    select ((
      select coalesce(sum(size - "offset"), 0) from landfall.uploads
       where ${isOpenNow} and storage_backend = 'disk' and (concat is null or is_partial)
    ) + (
      select coalesce(sum(size), 0) from landfall.uploads
       where id in (select final_id from landfall.upload_concat where position = 0)
         and (${isOpenNow} or state = 'received') and storage_backend = 'disk'
    ) + (
      select coalesce(sum(bytes_to_come), 0) from landfall.stray_copies
       where backend = 'disk' and bytes_to_come > 0 and fenced_until > now()
    ))::bigint as bytes`.execute(db)
  return rows[0]?.bytes ?? 0
}

/** Bytes of files that Landfall stores: by the counters of their owners, and those of open uploads. */
export async function storedBytes(db: Ledger): Promise<{ received: number; open: number }> {
  const { rows } = await sql<{ received: number; open: number }>`
    select (select coalesce(sum(used_bytes), 0) from landfall.quota_usage)::bigint as received,
           (select coalesce(sum("offset"), 0) from landfall.uploads
             where ${isOpenNow} and (concat is null or is_partial))::bigint as open`.execute(db)
  return rows[0] ?? { received: 0, open: 0 }
}
