import { sql } from 'kysely'
import type { Ledger, LedgerTransaction } from './database.ts'
import type { MediaId, UploadId } from './ids.ts'
import type { Backend } from './storage-places.ts'

// A file is served from one backend. What other backends have of it is written down here before it is made, and until
// it is removed. Whoever makes or removes copies holds the row by a fence, for a while.

/** Copies of one upload in one backend, held by whoever has the fence. */
export type HeldCopy = { uploadId: UploadId; backend: Backend; fence: string }

/** Whoever copies says so again within this time. */
export const COPY_TTL_MS = 30_000
/** A call that removes may arrive this late: nobody makes new copies before. */
const REMOVAL_TTL_MS = 15 * 60_000
/** A copy that was given up may still be taken up again for this long. */
const BEGUN_KEPT_MS = 60 * 60_000
/** Addresses that were given out, and requests that have begun, lead to the former copy for this long. */
export const FORMER_KEPT_MS = 15 * 60_000

const after = (ms: number) => sql`now() + make_interval(secs => ${ms / 1000}::float8)`

/** Writes down the copies that are about to be made, and holds them. Returns false while somebody else holds them. */
export async function holdCopy(db: Ledger, copy: HeldCopy, keys: readonly string[]): Promise<boolean> {
  const { rows } = await sql`
    insert into landfall.stray_copies as s
      (upload_id, backend, storage_keys, is_begun, due_at, fence, fenced_until)
    values (${copy.uploadId}, ${copy.backend}, ${[...keys]}::text[], true, ${after(BEGUN_KEPT_MS)},
            ${copy.fence}::uuid, ${after(COPY_TTL_MS)})
    on conflict (upload_id, backend) do update
      set storage_keys = array(select distinct unnest(s.storage_keys || excluded.storage_keys)),
          is_begun = true, is_removing = false, due_at = excluded.due_at, fence = excluded.fence,
          fenced_until = excluded.fenced_until
      where s.fence is null or s.fenced_until <= now()
    returning 1`.execute(db)
  return rows.length > 0
}

/** Returns false when they are held no more: then not a byte more may be written. */
export async function renewHold(db: Ledger, { uploadId, backend, fence }: HeldCopy): Promise<boolean> {
  const { rows } = await sql`
    update landfall.stray_copies set fenced_until = ${after(COPY_TTL_MS)}, due_at = ${after(BEGUN_KEPT_MS)}
     where upload_id = ${uploadId} and backend = ${backend} and fence = ${fence}::uuid returning 1`.execute(
    db,
  )
  return rows.length > 0
}

/** Lets go of copies that were not finished. `isOver`: nobody will, and they are to be removed now. */
export async function letGoOfCopy(
  db: Ledger,
  { uploadId, backend, fence }: HeldCopy,
  isOver: boolean,
): Promise<void> {
  await sql`
    update landfall.stray_copies
       set fence = null, fenced_until = null, due_at = case when ${isOver} then now() else due_at end
     where upload_id = ${uploadId} and backend = ${backend} and fence = ${fence}::uuid`.execute(db)
}

/**
 * A worker begins with a media item: whoever copies it meanwhile would miss what is made of it, and loses his hold.
 * From then on the worker reads where it is stored.
 */
export async function endCopying(db: Ledger, mediaId: MediaId): Promise<void> {
  await sql`
    update landfall.stray_copies s set fence = null, fenced_until = null
      from landfall.media m
     where m.id = ${mediaId} and s.upload_id = m.upload_id and s.fence is not null and not s.is_removing`.execute(
    db,
  )
}

/** In the transaction that serves the copies from now on: they are no stray ones. Returns false when they are held no more. */
export async function takeCopy(trx: LedgerTransaction, copy: HeldCopy): Promise<boolean> {
  const { rows } = await sql`
    delete from landfall.stray_copies
     where upload_id = ${copy.uploadId} and backend = ${copy.backend} and fence = ${copy.fence}::uuid
       and fenced_until > now()
    returning 1`.execute(trx)
  return rows.length > 0
}

/** In the same transaction: what was served before is removed after a while. */
export async function leaveCopy(
  trx: LedgerTransaction,
  { uploadId, backend }: Pick<HeldCopy, 'uploadId' | 'backend'>,
  keys: readonly string[],
): Promise<void> {
  await sql`
    insert into landfall.stray_copies as s (upload_id, backend, storage_keys, is_begun, due_at)
    values (${uploadId}, ${backend}, ${[...keys]}::text[], false, ${after(FORMER_KEPT_MS)})
    on conflict (upload_id, backend) do update
      set storage_keys = array(select distinct unnest(s.storage_keys || excluded.storage_keys)),
          due_at = excluded.due_at`.execute(trx)
}

export type StrayCopy = HeldCopy & { keys: string[]; isBegun: boolean }

/**
 * Holds copies that are to be removed: those whose time has come, or those of an upload that has ended whatever the time.
 * Never what the ledger serves.
 */
export async function holdStrays(
  db: Ledger,
  which: { limit: number; uploadId?: UploadId },
): Promise<StrayCopy[]> {
  const isDue = which.uploadId === undefined ? sql`s.due_at <= now()` : sql`s.upload_id = ${which.uploadId}`
  const { rows } = await sql<StrayCopy>`
    with due as (
      select upload_id, backend from landfall.stray_copies s
       where ${isDue} and (s.fence is null or s.fenced_until <= now())
         and not exists (
           select 1 from landfall.uploads u where u.id = s.upload_id and u.storage_backend = s.backend
         )
       order by s.due_at limit ${which.limit} for update skip locked
    )
    update landfall.stray_copies s
       set fence = gen_random_uuid(), fenced_until = ${after(REMOVAL_TTL_MS)}, is_removing = true
      from due where s.upload_id = due.upload_id and s.backend = due.backend
    returning s.upload_id as "uploadId", s.backend, s.fence, s.storage_keys as keys, s.is_begun as "isBegun"
  `.execute(db)
  return rows
}

/** They are removed. */
export async function forgetStray(db: Ledger, { uploadId, backend, fence }: HeldCopy): Promise<void> {
  await sql`
    delete from landfall.stray_copies
     where upload_id = ${uploadId} and backend = ${backend} and fence = ${fence}::uuid`.execute(db)
}

/** They could not be removed, and are looked at again in a while. */
export async function putOffStray(db: Ledger, { uploadId, backend, fence }: HeldCopy): Promise<void> {
  await sql`
    update landfall.stray_copies
       set fence = null, fenced_until = null, is_removing = false, due_at = now() + interval '1 minute'
     where upload_id = ${uploadId} and backend = ${backend} and fence = ${fence}::uuid`.execute(db)
}
