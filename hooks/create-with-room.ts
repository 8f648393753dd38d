import { type CreateResult, PARTIALS_PER_UPLOAD, type QuotaRefusal } from '../ledger/creation.ts'
import type { Ledger } from '../ledger/database.ts'
import type { Enqueue } from '../ledger/due-work.ts'
import type { EndLog } from '../ledger/end-log.ts'
import type { OwnerId, UploadId } from '../ledger/ids.ts'
import { expireOfOwner, type Lack, makeRoom, secondsUntilRoom } from '../ledger/reaping.ts'
import type { Backend } from '../ledger/storage-places.ts'
import type { UploadRow } from '../ledger/uploads.ts'
import type { Claim, DiskSpace, NoRoom } from '../storage/disk/disk-space.ts'
import { Refusal } from './refusal.ts'

export type CreationOptions = {
  db: Ledger
  /** Where new uploads go. */
  storageBackend: Backend
  /** The room on the disk. */
  space: DiskSpace
  enqueueRemoval: Enqueue<UploadId>
  /** Tells listeners that the ledger has news of an upload. */
  announce: (id: UploadId) => void
  ends: EndLog
}

export type Attempt = {
  /** What the quota says before anything is entered. */
  refusal?: () => Promise<QuotaRefusal | undefined>
  /** Claims what it needs of the disk; `NO_ROOM` where it may not have that. */
  create: (claim: Claim) => Promise<CreateResult | NoRoom>
}

/**
 * Creates an upload; where there is no room, once more after those uploads of the owner have ended that hold it for
 * nothing: what has expired counts no more, and creations whose answer was lost must not lock their owner out until they
 * expire. Of these no more end than it takes. Fails with a `Refusal`.
 */
export async function createWithRoom(
  { db, enqueueRemoval, announce, ends, space, storageBackend }: CreationOptions,
  ownerId: OwnerId,
  attempt: Attempt,
): Promise<UploadRow> {
  const isRefused = ({ kind }: CreateResult) => kind !== 'created'
  const create = async () => {
    // Known before it is claimed, and nearly always enough to know.
    if (storageBackend === 'disk') await space.room()
    return await space.enter<CreateResult>(attempt.create, { ...attempt, isRefused })
  }
  let result = await create()
  // Where there is room by number, there may be none by bytes.
  for (let round = 0; result.kind !== 'created' && round < 3; round++) {
    // What is lacking on the disk is not this owner's alone: only what has expired goes for it.
    if (round > 0 && result.kind === 'no-room') break
    const ended: UploadId[] =
      round === 0 || result.kind === 'no-room'
        ? await expireOfOwner(db, ownerId, enqueueRemoval)
        : await makeRoom(db, ownerId, lackOf(result), enqueueRemoval)
    for (const id of ended) announce(id)
    await ends.byId(db, 'upload.expired', ended)
    if (ended.length > 0) result = await create()
    else if (round > 0) break
  }
  if (result.kind === 'created') return result.upload
  if (result.kind === 'no-room') throw storageFull()
  const isPartial = result.kind === 'too-many-partials'
  throw refusalOf(result, await secondsUntilRoom(db, ownerId, isPartial))
}

function lackOf(refused: QuotaRefusal): Lack {
  const { bytes, uploads } = refused.quota
  switch (refused.kind) {
    case 'too-many-partials':
      return { of: 'partials', amount: uploads.partials + 1 - uploads.maxOpen * PARTIALS_PER_UPLOAD }
    case 'too-many-open':
      return { of: 'uploads', amount: uploads.open + 1 - uploads.maxOpen }
    case 'quota-uploads':
      return { of: 'uploads', amount: uploads.open + uploads.finished + 1 - (uploads.limit ?? 0) }
    case 'quota-bytes':
      return { of: 'bytes', amount: bytes.used + bytes.reserved + refused.wanted - (bytes.limit ?? 0) }
  }
}

/** Room on the disk comes when files are deleted or an operator sees to it. */
const STORAGE_FULL_SECONDS = 60

const storageFull = (): Refusal =>
  new Refusal(
    'storage-full',
    'The storage does not have enough free space for a file of this length.',
    {},
    STORAGE_FULL_SECONDS,
  )

/** `secondsUntilRoom`: until the owner's next open upload ends by itself; undefined where none is open. */
function refusalOf({ kind, quota }: QuotaRefusal, secondsUntilRoom: number | undefined): Refusal {
  const { bytes, uploads } = quota
  switch (kind) {
    case 'too-many-partials':
      return new Refusal(
        'too-many-open-uploads',
        'Too many partial uploads are waiting for concatenation. Concatenate or cancel some first.',
        { open: uploads.partials, limit: uploads.maxOpen * PARTIALS_PER_UPLOAD },
        secondsUntilRoom ?? 1,
      )
    case 'too-many-open':
      return new Refusal(
        'too-many-open-uploads',
        `At most ${uploads.maxOpen} uploads can be open at the same time. Finish or cancel one first.`,
        { open: uploads.open, limit: uploads.maxOpen },
        // None is open any more: one has ended since.
        secondsUntilRoom ?? 1,
      )
    case 'quota-bytes': {
      const { limit, used, reserved } = bytes
      const detail = 'The file does not fit into the remaining storage quota.'
      return new Refusal('quota-bytes-exceeded', detail, { limit, used, reserved })
    }
    case 'quota-uploads':
      return new Refusal(
        'quota-uploads-exceeded',
        'The quota for the number of uploads is exhausted.',
        { limit: uploads.limit },
        secondsUntilRoom ?? FULL_SECONDS,
      )
  }
}

/** Room comes when files are deleted, which nobody can foresee: an hour is no promise, but keeps clients from asking all the time. */
const FULL_SECONDS = 3600
