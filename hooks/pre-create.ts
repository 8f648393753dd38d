import { createFinal, sizeOfPartials } from '../ledger/concatenation.ts'
import { type CreateResult, createUpload, PARTIALS_PER_UPLOAD } from '../ledger/creation.ts'
import type { Ledger } from '../ledger/database.ts'
import { type ExpiryPolicy, firstExpiry } from '../ledger/expiry.ts'
import { newUploadId, type OwnerId, type UploadId } from '../ledger/ids.ts'
import type { QuotaDefaults } from '../ledger/quotas.ts'
import { expireOfOwner, type Lack, makeRoom, secondsUntilRoom } from '../ledger/reaping.ts'
import type { Backend } from '../ledger/storage-places.ts'
import type { DueMedia, Enqueue, UploadRow } from '../ledger/uploads.ts'
import type { DiskSpace } from '../storage/disk/disk-space.ts'
import type { EndLog } from '../storage/end-log.ts'
import { extensionOf, type Format, formatOfName, formatOfType } from '../storage/formats.ts'
import { fillPrefix, uploadKey } from '../storage/keys.ts'
import { checkMetadata, type Declaration, readDeclaration } from './declaration.ts'
import { Refusal } from './refusal.ts'

export type UploadPolicy = {
  minSize: number
  maxSize: number
  allowedFormats: readonly Format[]
  quota: QuotaDefaults
  expiry: ExpiryPolicy
}

export type PreCreateOptions = {
  db: Ledger
  policy: UploadPolicy
  /** Where new uploads go. */
  storageBackend: Backend
  /** The room on the disk. */
  space: DiskSpace
  /** Template of what storage keys begin with, in each backend. */
  keyPrefixes: Readonly<Record<Backend, string>>
  enqueueRemoval: Enqueue<UploadId>
  /** Tells listeners that the ledger has news of an upload. */
  announce: (id: UploadId) => void
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

/** The server chooses the id: 128 random bits, which is also the last segment of the storage key. */
export const nameUpload = newUploadId

/**
 * Decides whether an upload may begin and, if so, enters it into the ledger with its quota reserved.
 * Fails with a `Refusal`.
 */
export async function preCreate(options: PreCreateOptions, request: CreateRequest): Promise<UploadRow> {
  const { db, policy } = options
  // A piece of a file may be smaller than a file.
  checkSize(request.isPartial ? { ...policy, minSize: 0 } : policy, request.size)
  const reservedBytes = request.size ?? policy.maxSize
  const upload = { ...request, ...describe(options, request), reservedBytes }
  const bytes = options.storageBackend === 'disk' ? (request.size ?? 0) : undefined
  return await createWithRoom(options, request.ownerId, bytes, () => createUpload(db, upload, policy.quota))
}

/**
 * Creates what takes so many bytes of the disk, undefined for none; where there is no room, once more after those uploads
 * of the owner have ended that hold it for nothing: what has expired counts no more, and creations whose answer was lost
 * must not lock their owner out until they expire. Of these no more end than it takes. Fails with a `Refusal`.
 */
async function createWithRoom(
  { db, enqueueRemoval, announce, ends, space }: PreCreateOptions,
  ownerId: OwnerId,
  bytes: number | undefined,
  work: () => Promise<CreateResult>,
): Promise<UploadRow> {
  const create = async () => (bytes === undefined ? await work() : await space.enter(bytes, work))
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

type Refused = Exclude<CreateResult, { kind: 'created' }>

function lackOf(refused: Refused): Lack {
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

/**
 * The same for an upload that is made of others (tus 1.0 § concatenation). It may be complete at once; the work
 * that is due then is put into the queue with it.
 */
export async function preCreateFinal(
  options: PreCreateOptions,
  request: CreateFinalRequest,
  enqueueProcessing: Enqueue<readonly DueMedia[]>,
): Promise<UploadRow> {
  const { db, policy } = options
  const final = { ...request, ...describe(options, request), digests: null, wantedDigest: null }
  const isAllowed = (size: number) => size <= policy.maxSize && size >= policy.minSize
  // It is put together beside its partials, which stay until it is whole.
  const size = await sizeOfPartials(db, request.ownerId, request.partials, 'disk')
  const bytes = size > 0 && isAllowed(size) ? size : undefined
  return await createWithRoom(options, request.ownerId, bytes, async () => {
    const result = await createFinal(db, final, isAllowed, policy.quota, enqueueProcessing)
    switch (result.kind) {
      case 'no-such-partial':
        throw new Refusal(
          'invalid-concat',
          'Upload-Concat names an upload that is not there, or no partial one.',
        )
      case 'unknown-length':
        throw new Refusal('invalid-concat', 'Upload-Concat names an upload whose length is not declared yet.')
      case 'wrong-size':
        checkSize(policy, result.size)
        throw new Error('the size is neither right nor wrong')
      default:
        return result
    }
  })
}

/** What an upload is called and where it is to live. Fails with a `Refusal`. */
function describe(
  options: PreCreateOptions,
  request: Pick<CreateRequest, 'id' | 'ownerId' | 'tenantId' | 'metadata'>,
) {
  const { policy } = options
  checkMetadata(request.metadata)
  const declaration = readDeclaration(request.metadata)
  checkType(policy, declaration)
  const { ownerId: owner, tenantId: tenant } = request
  const names = { owner, tenant, at: new Date() }
  const storageKeyIn = (backend: Backend) =>
    uploadKey(request.id, fillPrefix(options.keyPrefixes[backend], names))
  return {
    ...declaration,
    storageBackend: options.storageBackend,
    storageKey: storageKeyIn(options.storageBackend),
    storageKeyIn,
    expiresAfterMs: firstExpiry(policy.expiry),
  }
}

/** Room on the disk comes when files are deleted or an operator sees to it. */
const STORAGE_FULL_SECONDS = 60

const storageFull = (): Refusal =>
  new Refusal(
    'storage-full',
    'The storage has no room for a file of this length at the moment.',
    {},
    STORAGE_FULL_SECONDS,
  )

/** `secondsUntilRoom`: until the owner's next open upload ends by itself; undefined where none is open. */
function refusalOf({ kind, quota }: Refused, secondsUntilRoom: number | undefined): Refusal {
  const { bytes, uploads } = quota
  switch (kind) {
    case 'too-many-partials':
      return new Refusal(
        'too-many-open-uploads',
        'Too many partial uploads wait for their concatenation. Concatenate or cancel some first.',
        { open: uploads.partials, limit: uploads.maxOpen * PARTIALS_PER_UPLOAD },
        secondsUntilRoom ?? 1,
      )
    case 'too-many-open':
      return new Refusal(
        'too-many-open-uploads',
        `At most ${uploads.maxOpen} uploads can be open at a time. Finish or cancel one first.`,
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
        'The number of uploads allowed is used up.',
        { limit: uploads.limit },
        secondsUntilRoom ?? FULL_SECONDS,
      )
  }
}

/** Room comes when files are deleted, which nobody can foresee: an hour is no promise, but keeps clients from asking all the time. */
const FULL_SECONDS = 3600

/** The size limits, for a length declared at creation or later. Fails with a `Refusal`. */
export function checkSize(policy: Pick<UploadPolicy, 'minSize' | 'maxSize'>, size: number | null): void {
  if (size === null) return
  if (size > policy.maxSize) {
    throw new Refusal('too-large', `Files of at most ${policy.maxSize} bytes are accepted.`, {
      maxSize: policy.maxSize,
    })
  }
  if (size < policy.minSize) {
    throw new Refusal('too-small', `Files of at least ${policy.minSize} bytes are accepted.`, {
      minSize: policy.minSize,
    })
  }
}

/**
 * Name and declared type must each be of an allowed format where they are given, and of the same
 * kind. What the file really is, its bytes tell later.
 */
function checkType(policy: UploadPolicy, { filename, declaredType }: Declaration): void {
  const { allowedFormats } = policy
  const refuse = (what: string): never => {
    throw new Refusal('type-not-allowed', `${what} is not accepted here.`, {
      allowed: allowedFormats.map((format) => format.contentType),
    })
  }
  const extension = filename === null ? undefined : extensionOf(filename)
  const named = filename === null ? undefined : formatOfName(allowedFormats, filename)
  if (extension !== undefined && !named) refuse(`A file ending in ".${extension}"`)
  const declared = declaredType === null ? undefined : formatOfType(allowedFormats, declaredType)
  if (declaredType !== null && !declared) refuse(`A file of the declared type`)
  if (named && declared && named.kind !== declared.kind) {
    refuse(`A file ending in ".${extension}" and declared as ${declared.contentType}`)
  }
}
