import { sql } from 'kysely'
import type { Ledger } from './database.ts'
import { isStoredUnended } from './expiry.ts'
import type { UploadId } from './ids.ts'

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
  const { rows } = await sql<{ is_holding: boolean }>`
    select exists (select 1 from landfall.media where storage_backend = ${backend} and ${isHeldMedia})
        or exists (select 1 from landfall.uploads where storage_backend = ${backend} and ${isStoredUnended()})
        or exists (select 1 from landfall.stray_copies where backend = ${backend})
        as is_holding`.execute(db)
  return rows[0]?.is_holding === true || (await removalsOf(db, backend)) > 0
}

/** The same in numbers. */
export async function countStored(db: Ledger, backend: Backend): Promise<Held> {
  const { rows } = await sql<{ media: number; uploads: number; copies: number }>`
    select (select count(*) from landfall.media where storage_backend = ${backend} and ${isHeldMedia}) as media,
           (select count(*) from landfall.uploads where storage_backend = ${backend} and ${isStoredUnended()}) as uploads,
           (select count(*) from landfall.stray_copies where backend = ${backend}) as copies`.execute(db)
  const { media = 0, uploads = 0, copies = 0 } = rows[0] ?? {}
  return { mediaItems: media, openUploads: uploads, removals: await removalsOf(db, backend), copies }
}

/** Ended uploads whose bytes a job has still to remove. */
async function removalsOf(db: Ledger, backend: Backend): Promise<number> {
  // The first server creates the queues.
  const { rows: queues } = await sql<{ job: string | null }>`
    select to_regclass('pgboss.job')::text as job`.execute(db)
  if (queues[0]?.job == null) return 0
  const { rows } = await sql<{ removals: number }>`
    select count(distinct u.id) as removals
      from pgboss.job j join landfall.uploads u on u.id = j.data ->> 'uploadId'
     where j.name = 'remove-bytes' and j.state < 'completed' and u.storage_backend = ${backend}`.execute(db)
  return rows[0]?.removals ?? 0
}

/** Keys of the newest ready files of this backend, which it must have. */
export async function sampleKeys(db: Ledger, backend: Backend, count: number): Promise<string[]> {
  const { rows } = await sql<{ storage_key: string }>`
    select storage_key from landfall.media
     where storage_backend = ${backend} and purged_at is null and status = 'ready' limit ${count}`.execute(db)
  return rows.map((row) => row.storage_key)
}

/** The key of the marker of this backend; undefined where none is recorded. */
export async function markerOf(db: Ledger, backend: Backend): Promise<string | undefined> {
  const { rows } = await sql<{ marker_key: string }>`
    select marker_key from landfall.storage_places where backend = ${backend}`.execute(db)
  return rows[0]?.marker_key
}

/** Replaces the recorded marker by one that has been stored. Returns false when another process was faster. */
export async function recordMarker(
  db: Ledger,
  backend: Backend,
  markers: { former: string | undefined; key: string },
): Promise<boolean> {
  const { rows } = await sql`
    insert into landfall.storage_places as p (backend, marker_key) values (${backend}, ${markers.key})
    on conflict (backend) do update set marker_key = excluded.marker_key, recorded_at = now()
      where p.marker_key = ${markers.former ?? null}::text
    returning 1`.execute(db)
  return rows.length > 0
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
