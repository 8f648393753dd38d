import { sql } from 'kysely'
import { type CreateResult, hasPlace, insertUpload, type NewUpload, type QuotaRefusal } from './creation.ts'
import type { Ledger, LedgerTransaction } from './database.ts'
import type { DueMedia, EnqueueProcessing } from './due-work.ts'
import { logEvents, uploadEvent } from './event-log.ts'
import {
  type ExpiryPolicy,
  extendedExpiry,
  isOpenNow,
  isStoredEnded,
  isStoredOpen,
  stateNow,
} from './expiry.ts'
import { newMediaId, type OwnerId, type UploadId } from './ids.ts'
import { releasedLease } from './lease-fragments.ts'
import { withOwnerLock, withOwnerShare } from './owner-share.ts'
import { AT_ONCE, chargedTurn, chargeTurn } from './processing-turns.ts'
import { convert, lockUsage, type QuotaDefaults, readQuota } from './quotas.ts'
import { mediaOf } from './received-media.ts'
import { firstRow, onlyRow, rowsOf, run, valuesOf } from './rows.ts'
import type { Backend } from './storage-places.ts'
import { partsInJson, recordStoredParts } from './stored-parts.ts'
import { type Append, type Committed, type Moved, UPLOAD_COLUMNS, type UploadRow } from './uploads.ts'

// tus 1.0 § concatenation. A partial is `open` until a final that uses it is complete, then `received`; it can be used
// again until it expires. A final is `open` while one of its partials is incomplete, and receives no bytes itself.
// Bytes are accounted once: one final takes over the reservation of each partial, and further finals reserve their own.

/** For a client that missed the answer to its final and asks for it again. */
const USED_PARTIALS_KEPT_MS = 15 * 60_000

export type NewFinal = Omit<NewUpload, 'size' | 'reservedBytes' | 'isPartial'> & {
  /** In the order of the file, without repetitions. */
  partials: readonly UploadId[]
  /** It is assembled where its partials are. */
  storageKeyIn: (backend: Backend) => string
}

export type CreateFinalResult =
  | CreateResult
  /** One is missing, another owner's, or not a partial upload. */
  | { kind: 'no-such-partial' }
  /** One has a deferred length. */
  | { kind: 'unknown-length' }
  /** The size of all of them together. */
  | { kind: 'wrong-size'; size: number }
  /** The disk has no space, or none that could be claimed at once: nothing was reserved. */
  | { kind: 'no-room' }

/**
 * Changes to several uploads of an owner run one after another, because they lock each other's rows in any order.
 * `withOwnerLock` ensures this on one node before taking a connection; this lock does so between nodes.
 */
export const takeTurns = (trx: LedgerTransaction, ownerId: OwnerId) =>
  run(trx)`select pg_advisory_xact_lock(hashtextextended('landfall.concat ' || ${ownerId}, 0))`

/**
 * Creates a final upload. With complete partials it is complete at once: state `received`, with a media item and its
 * processing job. `isAllowed` is called with the size of all partials together; `claimDisk`, once the quota suffices,
 * with the bytes that the disk needs besides those of the partials.
 */
export async function createFinal(
  db: Ledger,
  final: NewFinal,
  { isAllowed, claimDisk }: { isAllowed: (size: number) => boolean; claimDisk: (bytes: number) => boolean },
  defaults: QuotaDefaults,
  enqueue: EnqueueProcessing,
): Promise<CreateFinalResult> {
  return await withOwnerLock(db, final.ownerId, async (trx): Promise<CreateFinalResult> => {
    await takeTurns(trx, final.ownerId)
    if (!(await hasPlace(trx, { ...final, isPartial: false, reservedBytes: 0 })))
      return { kind: 'ticket-spent' }
    const partials = await lockPartials(trx, final)
    if (partials.size < final.partials.length) return { kind: 'no-such-partial' }
    let size = 0
    for (const id of final.partials) {
      const partSize = partials.get(id)?.size ?? null
      if (partSize === null) return { kind: 'unknown-length' }
      size += partSize
    }
    if (!isAllowed(size)) return { kind: 'wrong-size', size }
    const taken = [...partials.values()].filter(({ is_free }) => is_free)
    const reservedBytes = size - taken.reduce((sum, { reserved_bytes }) => sum + reserved_bytes, 0)
    const isComplete = [...partials.values()].every(({ is_complete }) => is_complete)
    const refusal = await quotaAgainst(trx, final.ownerId, { bytes: reservedBytes, isComplete }, defaults)
    if (refusal) return refusal
    const place = placeOf(final, partials)
    if (place.storageBackend === 'disk' && !claimDisk(size + bytesElsewhere(partials)))
      return { kind: 'no-room' }
    await insertFinal(
      trx,
      { ...final, ...place },
      { size, reservedBytes, takes: new Set(taken.map(({ id }) => id)) },
    )
    if (isComplete) await completeFinal(trx, final.id, enqueue)
    const upload = await onlyRow<UploadRow>(trx)`
      select ${UPLOAD_COLUMNS} from landfall.uploads where id = ${final.id}`
    return { kind: 'created', upload }
  })
}

/** Where all of its partials are; otherwise where new uploads go, and the other partials are copied there. */
function placeOf(
  { storageBackend, storageKey, storageKeyIn }: NewFinal,
  partials: ReadonlyMap<UploadId, Partial>,
): Pick<NewFinal, 'storageBackend' | 'storageKey'> {
  const [backend, another] = new Set([...partials.values()].map((partial) => partial.storage_backend))
  return backend === undefined || another !== undefined
    ? { storageBackend, storageKey }
    : { storageBackend: backend, storageKey: storageKeyIn(backend) }
}

/** Bytes that are copied to the disk before assembly. */
const bytesElsewhere = (partials: ReadonlyMap<UploadId, Partial>): number =>
  [...partials.values()].reduce(
    (sum, { storage_backend: backend, size }) => (backend === 'disk' ? sum : sum + (size ?? 0)),
    0,
  )

type Partial = {
  id: UploadId
  storage_backend: Backend
  size: number | null
  reserved_bytes: number
  is_complete: boolean
  /** No other final takes over its reservation. */
  is_free: boolean
}

async function lockPartials(trx: LedgerTransaction, final: NewFinal): Promise<Map<UploadId, Partial>> {
  const rows = await rowsOf<Partial>(trx)`
    with partials as materialized (
      select id, size, reserved_bytes, is_finished, state, storage_backend
        from landfall.uploads
       where id = any(${[...final.partials]}::text[]) and owner_id = ${final.ownerId} and is_partial
         and (${final.ticketId}::text is null or ticket_id = ${final.ticketId})
         and ${stateNow} in ('open', 'received')
       order by id for update
    )
    select id, size, reserved_bytes, storage_backend, is_finished as is_complete,
           ${isStoredOpen()} and not exists (
             select 1 from landfall.upload_concat c join landfall.uploads f on f.id = c.final_id
              where c.partial_id = partials.id and c.takes_reservation and ${isStoredOpen('f')}
           ) as is_free
      from partials`
  return new Map(rows.map((row) => [row.id, row]))
}

/** What the owner's quota says against it. Locks the owner's usage. */
async function quotaAgainst(
  trx: LedgerTransaction,
  ownerId: OwnerId,
  wanted: { bytes: number; isComplete: boolean },
  defaults: QuotaDefaults,
): Promise<QuotaRefusal | undefined> {
  await lockUsage(trx, ownerId)
  const quota = await readQuota(trx, ownerId, defaults)
  const { bytes, uploads } = quota
  if (!wanted.isComplete && uploads.open >= uploads.maxOpen) return { kind: 'too-many-open', quota }
  if (wanted.bytes > 0 && bytes.limit !== null && bytes.used + bytes.reserved + wanted.bytes > bytes.limit)
    return { kind: 'quota-bytes', quota, wanted: wanted.bytes }
  if (uploads.limit !== null && uploads.open + uploads.finished >= uploads.limit)
    return { kind: 'quota-uploads', quota }
  return undefined
}

/** A final reserves the bytes that no partial has reserved. */
async function insertFinal(
  trx: LedgerTransaction,
  final: NewFinal,
  { size, reservedBytes, takes }: { size: number; reservedBytes: number; takes: ReadonlySet<UploadId> },
): Promise<void> {
  await insertUpload(trx, { ...final, size, reservedBytes, isPartial: false })
  const rows = final.partials.map((id, position) => ({
    final_id: final.id,
    position,
    partial_id: id,
    takes_reservation: takes.has(id),
  }))
  await trx.insertInto('landfall.upload_concat').values(rows).execute()
}

/** The last partial is complete: the final is received, and the reservations of its partials become used. */
async function completeFinal(
  trx: LedgerTransaction,
  finalId: UploadId,
  enqueue: EnqueueProcessing,
): Promise<void> {
  const mediaId = newMediaId()
  // Its partials are locked: nothing changes between reading and writing.
  const due = await rowsOf<DueMedia>(trx)`
    with used as (
      select u.id, u.owner_id, u.size, u.reserved_bytes
        from landfall.uploads u join landfall.upload_concat c on c.partial_id = u.id
       where c.final_id = ${finalId} and c.takes_reservation and ${isStoredOpen('u')}
    ), settled as (
      update landfall.uploads u
         set state = 'received', reserved_bytes = 0, received_at = now(), updated_at = now(),
             expires_at = least(u.expires_at, now() + make_interval(secs => ${USED_PARTIALS_KEPT_MS / 1000}))
        from used where u.id = used.id and ${isStoredOpen('u')}
    ), finished as (
      update landfall.uploads
         set "offset" = size, state = 'received', media_id = ${mediaId}, received_at = now(), updated_at = now()
       where id = ${finalId}
      returning *
    ), received as (
      select owner_id, size, reserved_bytes, is_partial from finished
      union all
      select owner_id, size, reserved_bytes, true from used
    ), charged as (
      ${convert('received', chargeTurn(sql`r.bytes`))} returning ${chargedTurn(sql`r.bytes`)} as turn
    ), media as (${mediaOf('finished')}), ${logEvents(uploadEvent('finished', 'upload.received'))}
    select media_id as id, f.owner_id as "ownerId", f.size, coalesce(turn, ${AT_ONCE}::bigint) as turn
      from finished f left join charged on true`
  await enqueue(trx, due)
}

/**
 * Completes a partial upload, releases the lease, and completes every final that waited for this partial alone.
 * `completed` are those finals.
 */
export async function finishPartial(
  db: Ledger,
  append: Append,
  expiry: ExpiryPolicy,
  enqueue: EnqueueProcessing,
): Promise<Committed<Moved> & { completed: readonly UploadId[] }> {
  return await withOwnerLock(db, append.ownerId, async (trx) => {
    await takeTurns(trx, append.ownerId)
    const row = await firstRow<{ contended: boolean } & Moved>(trx)`
      with ${releasedLease(append)}, appended as (
        update landfall.uploads set "offset" = ${append.to}::bigint, is_finished = true, updated_at = now(),
               expires_at = ${extendedExpiry(expiry)}
          from lease
         where id = ${append.id} and "offset" = ${append.offset}::bigint and ${isStoredOpen()} and is_partial
           and size = ${append.to}::bigint
        returning id, lease.contended, expires_at, now() as read_at
      )${append.storedParts ? recordStoredParts(partsInJson(append.storedParts)) : sql``}
      select contended, expires_at, read_at from appended`
    if (!row) return { kind: 'lease-lost', completed: [] }
    // Nobody may end one of them from here on. Uploads are locked before their owner's usage, as everywhere.
    await run(trx)`
      select 1 from landfall.uploads
       where id in (
         select c.final_id from landfall.upload_concat c where c.partial_id = ${append.id}
         union
         select other.partial_id from landfall.upload_concat c
           join landfall.upload_concat other on other.final_id = c.final_id where c.partial_id = ${append.id}
       )
       order by id for update`
    // A statement of its own sees the locked rows as they are now.
    const completed = await valuesOf<UploadId>(trx)`
      select f.id from landfall.uploads f
       where ${isStoredOpen('f')}
         and f.id in (select final_id from landfall.upload_concat where partial_id = ${append.id})
         and not exists (
           select 1 from landfall.upload_concat c join landfall.uploads p on p.id = c.partial_id
            where c.final_id = f.id and (not p.is_finished or ${isStoredEnded('p')})
         )
       order by f.id`
    for (const id of completed) await completeFinal(trx, id, enqueue)
    return { kind: 'committed', ...row, completed }
  })
}

/**
 * A partial upload has received bytes: extends the expiry of the owner's finished partials, which a later final may
 * name, and of waiting finals, each up to its own maximum age. Changes rows only in steps (`SLIDES`), not with every
 * append.
 */
export async function extendWaitingUploads(
  db: Ledger,
  ownerId: OwnerId,
  expiry: ExpiryPolicy,
): Promise<void> {
  const later = extendedExpiry(expiry)
  await run(withOwnerShare(db, ownerId))`
    with waiting as (
      select id from landfall.uploads
       where owner_id = ${ownerId} and ${isOpenNow}
         and (is_finished or (concat is not null and not is_partial))
         and ${later} > expires_at + make_interval(secs => ${expiry.afterMs / 1000 / SLIDES}::float8)
       order by id for update skip locked
    )
    update landfall.uploads set expires_at = ${later}
      from waiting where uploads.id = waiting.id`
}

/** Waiting uploads are extended in steps of this fraction of the period. */
const SLIDES = 24

/** One source of a final upload's bytes, in order. */
export type ConcatSource = { id: UploadId; backend: string; storageKey: string; size: number }

/** The sources of a final upload, for the worker; empty where it is one object already, or not a final upload. */
export async function concatSources(db: Ledger, finalId: UploadId): Promise<ConcatSource[]> {
  const rows = await db
    .selectFrom('landfall.upload_concat as upload_concat')
    .innerJoin('landfall.uploads as uploads', 'uploads.id', 'upload_concat.partial_id')
    .select([
      'uploads.id',
      'uploads.storage_backend as backend',
      'uploads.storage_key as storageKey',
      'uploads.size',
    ])
    .where('upload_concat.final_id', '=', finalId)
    .orderBy('upload_concat.position')
    .execute()
  return rows.map(({ id, size, ...row }) => ({ ...row, id, size: size ?? 0 }))
}

/**
 * Releases the partials of a final that is one object or has ended. Returns those that have ended and that no other
 * final needs.
 */
export async function forgetConcat(db: Ledger, finalId: UploadId): Promise<UploadId[]> {
  return await valuesOf<UploadId>(db)`
    with forgotten as (
      delete from landfall.upload_concat where final_id = ${finalId} returning partial_id
    )
    select id from landfall.uploads
     where id in (select partial_id from forgotten) and ${isStoredEnded()}
       and not exists (
         select 1 from landfall.upload_concat c where c.partial_id = uploads.id and c.final_id <> ${finalId}
       )`
}

/** Whether a final still needs the bytes of this partial. */
export async function isNeededByFinal(db: Ledger, partialId: UploadId): Promise<boolean> {
  const row = await db
    .selectFrom('landfall.upload_concat')
    .select('final_id')
    .where('partial_id', '=', partialId)
    .executeTakeFirst()
  return row !== undefined
}
