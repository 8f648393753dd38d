import { sql } from 'kysely'
import type { Ledger } from './database.ts'
import { isStoredUnended } from './expiry.ts'
import type { UploadId } from './ids.ts'
import { firstValue, hasRow, onlyRow, onlyValue, valuesOf } from './rows.ts'

/** Where bytes are, in rows of uploads and media items. */
export type Backend = 'disk' | 's3'

/** What a backend is still needed for. */
export type Held = {
  mediaItems: number
  openUploads: number
  removals: number
  /** Uploads with stray copies to remove, which another backend serves. */
  copies: number
}

/** Media items that are not purged. A removal job covers the bytes of rejected ones. */
const isHeldMedia = sql<boolean>`purged_at is null and status <> 'rejected'`

/** Whether the ledger needs anything in this backend. */
export async function isBackendInUse(db: Ledger, backend: Backend): Promise<boolean> {
  const isHolding = await onlyValue<boolean>(db)`
    select exists (select 1 from landfall.media where storage_backend = ${backend} and ${isHeldMedia})
        or exists (select 1 from landfall.uploads where storage_backend = ${backend} and ${isStoredUnended()})
        or exists (select 1 from landfall.stray_copies where backend = ${backend})`
  return isHolding || (await removalsOf(db, backend)) > 0
}

/** The same in numbers. */
export async function countStored(db: Ledger, backend: Backend): Promise<Held> {
  const held = await onlyRow<Omit<Held, 'removals'>>(db)`
    select (select count(*) from landfall.media where storage_backend = ${backend} and ${isHeldMedia}) as "mediaItems",
           (select count(*) from landfall.uploads where storage_backend = ${backend} and ${isStoredUnended()}) as "openUploads",
           (select count(*) from landfall.stray_copies where backend = ${backend}) as copies`
  return { ...held, removals: await removalsOf(db, backend) }
}

/** Ended uploads whose bytes a job has still to remove. */
async function removalsOf(db: Ledger, backend: Backend): Promise<number> {
  // The first server creates the queues.
  if (!(await hasRow(db)`select 1 where to_regclass('pgboss.job') is not null`)) return 0
  return await onlyValue<number>(db)`
    select count(distinct u.id)
      from pgboss.job j join landfall.uploads u on u.id = j.data ->> 'uploadId'
     where j.name = 'remove-bytes' and j.state < 'completed' and u.storage_backend = ${backend}`
}

/** Keys of the newest ready files of this backend, which it must have. */
export async function sampleKeys(db: Ledger, backend: Backend, count: number): Promise<string[]> {
  return await valuesOf<string>(db)`
    select storage_key from landfall.media
     where storage_backend = ${backend} and purged_at is null and status = 'ready' limit ${count}`
}

/** The key of the marker of this backend; undefined where none is recorded. */
export async function markerOf(db: Ledger, backend: Backend): Promise<string | undefined> {
  return await firstValue<string>(db)`
    select marker_key from landfall.storage_places where backend = ${backend}`
}

/** Replaces the recorded marker by one that has been stored. Returns false when another process was faster. */
export async function recordMarker(
  db: Ledger,
  backend: Backend,
  markers: { former: string | undefined; key: string },
): Promise<boolean> {
  return await hasRow(db)`
    insert into landfall.storage_places as p (backend, marker_key) values (${backend}, ${markers.key})
    on conflict (backend) do update set marker_key = excluded.marker_key, recorded_at = now()
      where p.marker_key = ${markers.former ?? null}::text
    returning 1`
}

/** The backend of an upload; undefined when there is no such upload. */
export async function backendOf(db: Ledger, uploadId: UploadId): Promise<string | undefined> {
  const row = await db
    .selectFrom('landfall.uploads')
    .select('storage_backend')
    .where('id', '=', uploadId)
    .executeTakeFirst()
  return row?.storage_backend
}
