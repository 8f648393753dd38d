import { extensionOf, type Format, formatOfName, formatOfType } from '../content/formats.ts'
import { createFinal } from '../ledger/concatenation.ts'
import { createUpload, quotaRefusal } from '../ledger/creation.ts'
import type { DueMedia, Enqueue } from '../ledger/due-work.ts'
import { type ExpiryPolicy, firstExpiry } from '../ledger/expiry.ts'
import { newUploadId, type OwnerId, type UploadId } from '../ledger/ids.ts'
import type { QuotaDefaults } from '../ledger/quotas.ts'
import type { Backend } from '../ledger/storage-places.ts'
import type { UploadRow } from '../ledger/uploads.ts'
import { type Claim, NO_ROOM } from '../storage/disk/disk-space.ts'
import { fillPrefix, uploadKey } from '../storage/store/keys.ts'
import { type CreationOptions, createWithRoom } from './create-with-room.ts'
import { checkMetadata, type Declaration, readDeclaration } from './declaration.ts'
import { Refusal } from './refusal.ts'

export type UploadPolicy = {
  minSize: number
  maxSize: number
  allowedFormats: readonly Format[]
  quota: QuotaDefaults
  expiry: ExpiryPolicy
}

export type PreCreateOptions = CreationOptions & {
  policy: UploadPolicy
  /** Template of what storage keys begin with, in each backend. */
  keyPrefixes: Readonly<Record<Backend, string>>
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
  const needsDisk = options.storageBackend === 'disk'
  return await createWithRoom(options, request.ownerId, {
    refusal: () => quotaRefusal(db, upload, policy.quota),
    create: async (claim) =>
      needsDisk && !claim(request.size ?? 0) ? NO_ROOM : await createUpload(db, upload, policy.quota),
  })
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

/** The size limits, for a length declared at creation or later. Fails with a `Refusal`. */
export function checkSize(policy: Pick<UploadPolicy, 'minSize' | 'maxSize'>, size: number | null): void {
  if (size === null) return
  if (size > policy.maxSize) {
    throw new Refusal('too-large', `The maximum file size is ${policy.maxSize} bytes.`, {
      maxSize: policy.maxSize,
    })
  }
  if (size < policy.minSize) {
    throw new Refusal('too-small', `The minimum file size is ${policy.minSize} bytes.`, {
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
    throw new Refusal('type-not-allowed', `${what} is not accepted.`, {
      allowed: allowedFormats.map((format) => format.contentType),
    })
  }
  const extension = filename === null ? undefined : extensionOf(filename)
  const named = filename === null ? undefined : formatOfName(allowedFormats, filename)
  if (extension !== undefined && !named) refuse(`A file with the extension ".${extension}"`)
  const declared = declaredType === null ? undefined : formatOfType(allowedFormats, declaredType)
  if (declaredType !== null && !declared) refuse(`A file of the declared type`)
  if (named && declared && named.kind !== declared.kind) {
    refuse(`A file with the extension ".${extension}" and the declared type ${declared.contentType}`)
  }
}
