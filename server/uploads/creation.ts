import { checkSize, preCreate, type UploadPolicy } from '../../hooks/pre-create.ts'
import { quotaRefusalOf, storageFull } from '../../hooks/quota-refusals.ts'
import { Refusal } from '../../hooks/refusal.ts'
import { createFinal } from '../../ledger/concatenation.ts'
import {
  type CreateResult,
  createUpload as enterUpload,
  PARTIALS_PER_UPLOAD,
  type QuotaRefusal,
  quotaRefusal,
} from '../../ledger/creation.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { DueMedia, Enqueue } from '../../ledger/due-work.ts'
import type { EndLog } from '../../ledger/end-log.ts'
import { firstExpiry } from '../../ledger/expiry.ts'
import type { OwnerId, UploadId } from '../../ledger/ids.ts'
import {
  expireEmptyUploads,
  expireOfOwner,
  type QuotaShortage,
  secondsUntilQuota,
} from '../../ledger/reaping.ts'
import type { Backend } from '../../ledger/storage-places.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { type Claim, type DiskSpace, NO_ROOM, type NoRoom } from '../../storage/disk/disk-space.ts'
import { fillPrefix, uploadKey } from '../../storage/store/keys.ts'

export type CreationOptions = {
  db: Ledger
  policy: UploadPolicy
  /** Template of what storage keys begin with, in each backend. */
  keyPrefixes: Readonly<Record<Backend, string>>
  /** Where new uploads go. */
  storageBackend: Backend
  /** The room on the disk. */
  space: DiskSpace
  enqueueRemoval: Enqueue<UploadId>
  /** Tells listeners that the ledger has news of an upload. */
  notifyListeners: (id: UploadId) => void
  ends: EndLog
}

export type CreateRequest = {
  id: UploadId
  /** From the token, never from the request's own words. */
  ownerId: OwnerId
  tenantId: string | null
  protocol: string
  /** Bytes; null when the client will declare it later. */
  size: number | null
  metadata: Record<string, string | null>
  /** Upload-Metadata as the client said it; null where it did not. */
  metadataHeader: string | null
  /** tus 1.0 § concatenation: Upload-Concat as the client said it; null where it did not. */
  concat: string | null
  isPartial: boolean
  /** What the client promises of the whole file (RFC 9530): algorithm → base64. */
  digests: Record<string, string> | null
  /** The algorithm of the digest that the client would like to be told. */
  wantedDigest: string | null
}

/** A final upload, whose size is that of its partials. */
export type CreateFinalRequest = Omit<CreateRequest, 'size' | 'isPartial' | 'digests' | 'wantedDigest'> & {
  partials: readonly UploadId[]
}

/** Enters an upload into the ledger, with its quota reserved. Fails with a `Refusal`. */
export async function createUpload(options: CreationOptions, request: CreateRequest): Promise<UploadRow> {
  const { db, policy } = options
  const declaration = preCreate(policy, request)
  const reservedBytes = request.size ?? policy.maxSize
  const upload = { ...request, ...declaration, ...placeOf(options, request), reservedBytes }
  const needsDisk = options.storageBackend === 'disk'
  return await createWithRoom(options, request.ownerId, {
    refusal: () => quotaRefusal(db, upload, policy.quota),
    create: async (claim) =>
      needsDisk && !claim(request.size ?? 0) ? NO_ROOM : await enterUpload(db, upload, policy.quota),
  })
}

/**
 * The same for an upload that is made of others (tus 1.0 § concatenation). It may be complete at once; the work
 * that is due then is put into the queue with it.
 */
export async function createFinalUpload(
  options: CreationOptions,
  request: CreateFinalRequest,
  enqueueProcessing: Enqueue<readonly DueMedia[]>,
): Promise<UploadRow> {
  const { db, policy } = options
  const declaration = preCreate(policy, { ...request, size: null, isPartial: false })
  const final = {
    ...request,
    ...declaration,
    ...placeOf(options, request),
    digests: null,
    wantedDigest: null,
  }
  const isAllowed = (size: number) => size <= policy.maxSize && size >= policy.minSize
  const create = async (claimDisk: Claim) => {
    // It is put together beside its partials, which stay until it is whole.
    const result = await createFinal(db, final, { isAllowed, claimDisk }, policy.quota, enqueueProcessing)
    switch (result.kind) {
      case 'no-room':
        return NO_ROOM
      case 'no-such-partial':
        throw new Refusal(
          'invalid-concat',
          'Upload-Concat names an upload that does not exist or is not a partial upload.',
        )
      case 'unknown-length':
        throw new Refusal('invalid-concat', 'Upload-Concat names an upload whose length is not declared yet.')
      case 'wrong-size':
        checkSize(policy, result.size)
        throw new Error('the size is neither right nor wrong')
      default:
        return result
    }
  }
  return await createWithRoom(options, request.ownerId, { create })
}

/** Where an upload is to live, and for how long it may stay open. */
function placeOf(
  { keyPrefixes, policy, storageBackend }: CreationOptions,
  { id, ownerId: owner, tenantId: tenant }: Pick<CreateRequest, 'id' | 'ownerId' | 'tenantId'>,
) {
  const names = { owner, tenant, at: new Date() }
  const storageKeyIn = (backend: Backend) => uploadKey(id, fillPrefix(keyPrefixes[backend], names))
  return {
    storageBackend,
    storageKey: storageKeyIn(storageBackend),
    storageKeyIn,
    expiresAfterMs: firstExpiry(policy.expiry),
  }
}

type Attempt = {
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
async function createWithRoom(
  { db, enqueueRemoval, notifyListeners, ends, space, storageBackend }: CreationOptions,
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
        : await expireEmptyUploads(db, ownerId, shortageOf(result), enqueueRemoval)
    for (const id of ended) notifyListeners(id)
    await ends.byId(db, 'upload.expired', ended)
    if (ended.length > 0) result = await create()
    else if (round > 0) break
  }
  if (result.kind === 'created') return result.upload
  if (result.kind === 'no-room') throw storageFull()
  const isPartial = result.kind === 'too-many-partials'
  throw quotaRefusalOf(result, await secondsUntilQuota(db, ownerId, isPartial))
}

function shortageOf(refused: QuotaRefusal): QuotaShortage {
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
