import { sql } from 'kysely'
import { isBackupRunning } from './backup-lock.ts'
import type { Ledger, LedgerTransaction } from './database.ts'
import type { MediaId, UploadId } from './ids.ts'
import { firstRow, hasRow, rowsOf, run } from './rows.ts'
import type { Backend } from './storage-places.ts'

// A file is served from one backend. Copies in other backends are recorded here before they are made, and until they
// are removed. A process that makes or removes copies holds the row by a fence, for a while.

/** Copies of one upload in one backend, held by the process with the fence. */
export type HeldCopy = { uploadId: UploadId; backend: Backend; fence: string }

/** A copying process renews its hold within this time. */
export const COPY_TTL_MS = 30_000
/** How late a removal call may arrive: nobody makes new copies before. */
const REMOVAL_TTL_MS = 15 * 60_000
/** What a killed mover has begun is removed after this long, unless it is moved by then. */
const BEGUN_KEPT_MS = 60 * 60_000
/** Links that were given out, and running requests, use the former copy for this long. */
export const FORMER_KEPT_MS = 15 * 60_000

const after = (ms: number) => sql`now() + make_interval(secs => ${ms / 1000}::float8)`

/** The recorded keys: all that may exist, which is more than requested where somebody began before. */
export type Hold = { keys: string[]; isNew: boolean }

/**
 * Records the copies that are about to be made, of so many bytes in all, and holds them. Undefined while another
 * process holds them.
 */
export async function holdCopy(
  db: Ledger,
  copy: HeldCopy,
  { keys, bytes }: { keys: readonly string[]; bytes: number },
): Promise<Hold | undefined> {
  return await firstRow<Hold>(db)`
    insert into landfall.stray_copies as s
      (upload_id, backend, storage_keys, is_begun, due_at, fence, fenced_until, bytes_to_come)
    values (${copy.uploadId}, ${copy.backend}, ${[...keys]}::text[], true, ${after(BEGUN_KEPT_MS)},
            ${copy.fence}::uuid, ${after(COPY_TTL_MS)}, ${Math.max(1, bytes)})
    on conflict (upload_id, backend) do update
      set storage_keys = array(select distinct unnest(s.storage_keys || excluded.storage_keys)),
          is_begun = true, is_removing = false, due_at = excluded.due_at, fence = excluded.fence,
          fenced_until = excluded.fenced_until, bytes_to_come = excluded.bytes_to_come
      where s.fence is null or s.fenced_until <= now()
    returning s.storage_keys as keys, s.xmax = 0 as "isNew"`
}

/**
 * Call it before each removal. Nobody else makes copies while that may still arrive. Returns false when the hold is
 * lost.
 */
export async function holdForRemoval(db: Ledger, copy: HeldCopy): Promise<boolean> {
  return await hasRow(db)`
    update landfall.stray_copies set fenced_until = ${after(REMOVAL_TTL_MS)}
     where ${isHeldAs(copy)} and fenced_until > now() returning 1`
}

/** All keys but these are removed, and every call was answered. Returns false when the hold is lost. */
export async function narrowHold(db: Ledger, copy: HeldCopy, keys: readonly string[]): Promise<boolean> {
  return await hasRow(db)`
    update landfall.stray_copies set storage_keys = ${[...keys]}::text[], fenced_until = ${after(COPY_TTL_MS)}
     where ${isHeldAs(copy)} and fenced_until > now() returning 1`
}

/**
 * Extends the hold; so many bytes are still to come. Returns false when the hold is lost, or the media item is to have
 * no public copy any more: then not a byte more may be written.
 */
export async function renewHold(db: Ledger, copy: HeldCopy, bytesToCome: number): Promise<boolean> {
  return await hasRow(db)`
    update landfall.stray_copies s
       set fenced_until = greatest(s.fenced_until, ${after(COPY_TTL_MS)}), due_at = ${after(BEGUN_KEPT_MS)},
           bytes_to_come = ${bytesToCome}
     where ${isHeldAs(copy)} and not exists (
       select 1 from landfall.media m join landfall.renditions r on r.media_id = m.id
        where m.upload_id = s.upload_id
          and (r.kind = 'unpublished' or (r.kind = 'published' and m.status <> 'ready'))
     ) returning 1`
}

/**
 * Takes the hold from its mover, which stops writing when it notices. One of its removals may still arrive; until then
 * nobody else gets the hold.
 */
const endHold = sql`
  fence = case when s.fenced_until > ${after(COPY_TTL_MS)} then gen_random_uuid() end,
  fenced_until = case when s.fenced_until > ${after(COPY_TTL_MS)} then s.fenced_until end,
  bytes_to_come = 0`

const isHeldAs = ({ uploadId, backend, fence }: HeldCopy) =>
  sql`upload_id = ${uploadId} and backend = ${backend} and fence = ${fence}::uuid`

/**
 * How a move without a served copy ended. `unbegun`: copies from before are removed when nobody can be reading them.
 * `useless`: the copies are removed now. `unsure`: a late call may arrive, so nobody touches them before the hold has
 * expired.
 */
export type EndOfCopying = 'unbegun' | 'useless' | 'unsure'

/** Releases copies that are not served. */
export async function releaseCopyHold(db: Ledger, copy: HeldCopy, end: EndOfCopying): Promise<void> {
  const due = end === 'useless' ? sql`now()` : end === 'unbegun' ? after(FORMER_KEPT_MS) : sql`fenced_until`
  const isKept = sql`${end === 'unsure'}::boolean`
  await run(db)`
    update landfall.stray_copies
       set due_at = ${due}, bytes_to_come = 0, fence = case when ${isKept} then fence end,
           fenced_until = case when ${isKept} then fenced_until end
     where ${isHeldAs(copy)}`
}

/**
 * A worker begins with a media item: a mover would miss its new renditions, and loses its hold. The worker uses the
 * backend that is current from then on.
 */
export async function endCopying(db: Ledger, mediaId: MediaId): Promise<void> {
  await run(db)`
    update landfall.stray_copies s set ${endHold}
      from landfall.media m
     where m.id = ${mediaId} and s.upload_id = m.upload_id and s.fence is not null and not s.is_removing`
}

/**
 * In the transaction that serves the copies from now on: they are not stray any more. Returns false when the hold is
 * lost.
 */
export async function takeCopy(trx: LedgerTransaction, copy: HeldCopy): Promise<boolean> {
  return await hasRow(trx)`
    delete from landfall.stray_copies
     where ${isHeldAs(copy)} and fenced_until > now()
    returning 1`
}

/**
 * In the same transaction: the former copy is removed later. A mover that was about to copy to that backend has read an
 * outdated row, and loses its hold.
 */
export async function recordFormerCopy(
  trx: LedgerTransaction,
  { uploadId, backend }: Pick<HeldCopy, 'uploadId' | 'backend'>,
  keys: readonly string[],
): Promise<void> {
  await run(trx)`
    insert into landfall.stray_copies as s (upload_id, backend, storage_keys, is_begun, due_at)
    values (${uploadId}, ${backend}, ${[...keys]}::text[], false, ${after(FORMER_KEPT_MS)})
    on conflict (upload_id, backend) do update
      set storage_keys = array(select distinct unnest(s.storage_keys || excluded.storage_keys)),
          due_at = excluded.due_at, ${endHold}`
}

export type StrayCopy = HeldCopy & { keys: string[]; isBegun: boolean }

/** The backend that serves an upload has no stray copies of it. */
const isServed = sql`exists (
  select 1 from landfall.uploads u where u.id = s.upload_id and u.storage_backend = s.backend
)`

/**
 * Holds copies in a backend that are to be removed: due ones, or those of an ended upload. Never what the ledger
 * serves. On disk, due copies wait for a running backup, which may refer to them.
 */
export async function holdStrays(
  db: Ledger,
  which: { backend: Backend; limit: number; uploadId?: UploadId | undefined },
): Promise<StrayCopy[]> {
  const isDue =
    which.uploadId === undefined
      ? sql`(s.due_at <= now() and (s.backend <> 'disk' or not ${isBackupRunning}))`
      : sql`s.upload_id = ${which.uploadId}`
  return await rowsOf<StrayCopy>(db)`
    with due as (
      select upload_id, backend from landfall.stray_copies s
       where ${isDue} and s.backend = ${which.backend}
         and (s.fence is null or s.fenced_until <= now()) and not ${isServed}
       order by s.due_at limit ${which.limit} for update skip locked
    )
    update landfall.stray_copies s
       set fence = gen_random_uuid(), fenced_until = ${after(REMOVAL_TTL_MS)}, is_removing = true, bytes_to_come = 0
      from due where s.upload_id = due.upload_id and s.backend = due.backend
    returning s.upload_id as "uploadId", s.backend, s.fence, s.storage_keys as keys, s.is_begun as "isBegun"
  `
}

/** Call it before each removal. Returns false when the hold is lost: then they may be served. */
export async function renewStray(db: Ledger, stray: HeldCopy): Promise<boolean> {
  return await hasRow(db)`
    update landfall.stray_copies set fenced_until = ${after(REMOVAL_TTL_MS)}
     where ${isHeldAs(stray)} returning 1`
}

/** They are removed, or were never begun. */
export async function forgetStray(db: Ledger, stray: HeldCopy): Promise<void> {
  await run(db)`delete from landfall.stray_copies where ${isHeldAs(stray)}`
}

/**
 * They could not be removed, and are tried again when no earlier call can arrive any more; until then nobody makes new
 * copies there.
 */
export async function postponeStray(db: Ledger, stray: HeldCopy): Promise<void> {
  await run(db)`
    update landfall.stray_copies set due_at = fenced_until where ${isHeldAs(stray)}`
}

/** No call is pending: the next process continues. `removed`: keys that are gone. */
export async function releaseStrayHold(
  db: Ledger,
  stray: HeldCopy,
  removed: readonly string[] = [],
): Promise<void> {
  await run(db)`
    update landfall.stray_copies
       set fence = null, fenced_until = null, is_removing = false,
           storage_keys = array(select unnest(storage_keys) except select unnest(${[...removed]}::text[]))
     where ${isHeldAs(stray)}`
}

/**
 * Deletes records of a mover that came too late and was killed before it noticed: copies in the backend that serves the
 * upload, of which it had begun none.
 */
export async function forgetServed(db: Ledger): Promise<void> {
  await run(db)`
    delete from landfall.stray_copies s
     where s.bytes_to_come > 0 and s.due_at <= now() and s.fenced_until <= now() and ${isServed}`
}

/**
 * The upload has ended: its copies become due as soon as nobody holds them. Returns whether any are left, and whether
 * some are being made.
 */
export async function expediteStrays(db: Ledger, uploadId: UploadId): Promise<'none' | 'left' | 'copying'> {
  const rows = await rowsOf<{ isCopying: boolean }>(db)`
    update landfall.stray_copies s
       set due_at = least(s.due_at, greatest(coalesce(s.fenced_until, now()), now()))
     where s.upload_id = ${uploadId} and not ${isServed}
    returning coalesce(s.fenced_until > now(), false) and not s.is_removing as "isCopying"`
  return rows.length === 0 ? 'none' : rows.some(({ isCopying }) => isCopying) ? 'copying' : 'left'
}
