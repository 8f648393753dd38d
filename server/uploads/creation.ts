import type { Attachable } from '../../hooks/attachment.ts'
import { askPreCreate, type Changeable, type OwnerLimits } from '../../hooks/own/ask-pre-create.ts'
import type { OwnHooks } from '../../hooks/own/own-hooks.ts'
import type { HookClient } from '../../hooks/own/questions.ts'
import { checkSize, preCreate, type UploadPolicy } from '../../hooks/pre-create.ts'
import { quotaRefusalOf, storageFull } from '../../hooks/quota-refusals.ts'
import { Refusal } from '../../hooks/refusal.ts'
import { bothTerms, limitsUnder } from '../../hooks/terms.ts'
import { createFinal } from '../../ledger/concatenation.ts'
import {
  type CreateResult,
  createUpload as enterUpload,
  type NewUpload,
  type QuotaRefusal,
  quotaRefusal,
} from '../../ledger/creation.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { EnqueueProcessing, EnqueueRemoval } from '../../ledger/due-work.ts'
import type { EndLog } from '../../ledger/end-log.ts'
import { firstExpiry } from '../../ledger/expiry.ts'
import type { OwnerId, UploadId } from '../../ledger/ids.ts'
import { PARTIALS_PER_UPLOAD, setLimits } from '../../ledger/quotas.ts'
import {
  expireEmptyUploads,
  expireOfOwner,
  type QuotaShortage,
  secondsUntilQuota,
} from '../../ledger/reaping.ts'
import type { UploadTerms } from '../../ledger/schema.ts'
import type { Backend } from '../../ledger/storage-places.ts'
import type { BearerTicket } from '../../ledger/upload-tickets.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { type Claim, type DiskSpace, NO_ROOM, type NoRoom } from '../../storage/disk/disk-space.ts'
import { fillPrefix, uploadKey } from '../../storage/store/keys.ts'

export type CreationOptions = {
  db: Ledger
  policy: UploadPolicy
  /** Template of the prefix of storage keys in each backend. */
  keyPrefixes: Readonly<Record<Backend, string>>
  /** Where new uploads go. */
  storageBackend: Backend
  /** The space on the disk. */
  space: DiskSpace
  enqueueRemoval: EnqueueRemoval
  /** Publishes that the ledger has new events of an upload. */
  notifyListeners: (id: UploadId) => void
  ends: EndLog
  /** Of the application; undefined where it has none. */
  hooks: OwnHooks | undefined
}

/** A new upload as its request describes it, and its owner, whom access has decided. */
export type CreateRequest = Omit<
  NewUpload,
  | 'reservedBytes'
  | 'filename'
  | 'declaredType'
  | 'storageBackend'
  | 'storageKey'
  | 'expiresAfterMs'
  | 'ticketId'
  | 'terms'
> & {
  attachable: Attachable
  ticket: BearerTicket | undefined
  terms?: UploadTerms
  client: HookClient
  /** Aborted when the client has left. */
  over: AbortSignal
}

/** A final upload, whose size is that of its partials. */
export type CreateFinalRequest = Omit<CreateRequest, 'size' | 'isPartial' | 'digests' | 'wantedDigest'> & {
  partials: readonly UploadId[]
}

/** Creates an upload and reserves its quota. Fails with a `Refusal`. */
export async function createUpload(options: CreationOptions, request: CreateRequest): Promise<UploadRow> {
  const { db } = options
  const wanted = withTicket(request)
  const { policy, ...decided } = await decide(options, wanted)
  const reservedBytes = wanted.size ?? policy.maxSize
  const upload = { ...wanted, ...decided, ...placeOf(options, wanted), reservedBytes }
  const needsDisk = options.storageBackend === 'disk'
  return await createWithRoom(options, request.ownerId, {
    refusal: () => quotaRefusal(db, upload, policy.quota),
    create: async (claim) =>
      needsDisk && !claim(request.size ?? 0) ? NO_ROOM : await enterUpload(db, upload, policy.quota),
  })
}

/** The same for a final upload (tus 1.0 § concatenation). It may be complete at once, and is then enqueued. */
export async function createFinalUpload(
  options: CreationOptions,
  request: CreateFinalRequest,
  enqueueProcessing: EnqueueProcessing,
): Promise<UploadRow> {
  const { db } = options
  const wanted = withTicket({ ...request, isPartial: false })
  const { policy, ...decided } = await decide(options, { ...wanted, size: null })
  const final = {
    ...wanted,
    ...decided,
    ...placeOf(options, request),
    digests: null,
    wantedDigest: null,
  }
  const isAllowed = (size: number) => size <= policy.maxSize && size >= policy.minSize
  const create = async (claimDisk: Claim) => {
    // It is assembled beside its partials, which stay until then.
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
      case 'ticket-spent':
        throw spentTicket()
      case 'wrong-size':
        checkSize(policy, result.size)
        throw new Error('the size is neither right nor wrong')
      default:
        return result
    }
  }
  return await createWithRoom(options, request.ownerId, { create })
}

type Undecided = Pick<
  CreateRequest,
  'id' | 'ownerId' | 'metadata' | 'attachable' | 'isPartial' | 'protocol' | 'size' | 'client' | 'over'
> & { ticketId: string | null; terms: UploadTerms | null }

/** What the server and the application decide about a request. Fails with a `Refusal`. */
async function decide({ db, hooks, policy }: CreationOptions, wanted: Undecided) {
  const judge = (changed: Changeable) => {
    const own = limitsUnder(policy, changed.terms)
    return { ...changed, ...preCreate(own, { ...wanted, ...changed }), policy: own }
  }
  const { metadata, terms, attachable } = wanted
  // Hooks are not asked about what would be refused anyway.
  const decided = judge({ metadata, terms, attachable })
  if (!hooks) return decided
  const setQuota = (limits: OwnerLimits) => setLimits(db, wanted.ownerId, limits)
  return judge(await askPreCreate(hooks, wanted, { setQuota, over: wanted.over }))
}

/** A request with what its ticket says: the metadata goes before that of the client, and the file of partials gets it. */
function withTicket<R extends Pick<CreateRequest, 'ticket' | 'metadata' | 'isPartial' | 'terms'>>({
  ticket,
  terms,
  ...request
}: R) {
  if (!ticket) return { ...request, ticketId: null, terms: terms ?? null }
  const { id: ticketId, uploadWithinSeconds: within } = ticket
  const until = within === null ? {} : { until: new Date(Date.now() + within * 1000).toISOString() }
  return {
    ...request,
    metadata: request.isPartial ? request.metadata : { ...request.metadata, ...ticket.metadata },
    ticketId,
    terms: bothTerms({ ...ticket.terms, ...until }, terms ?? {}),
  }
}

/** Storage key, backend and expiry of a new upload. */
function placeOf(
  { keyPrefixes, policy, storageBackend }: CreationOptions,
  { id, ownerId: owner }: Pick<CreateRequest, 'id' | 'ownerId'>,
) {
  const names = { owner, at: new Date() }
  const storageKeyIn = (backend: Backend) => uploadKey(id, fillPrefix(keyPrefixes[backend], names))
  return {
    storageBackend,
    storageKey: storageKeyIn(storageBackend),
    storageKeyIn,
    expiresAfterMs: firstExpiry(policy.expiry),
  }
}

type Attempt = {
  /** What the quota says before anything is created. */
  refusal?: () => Promise<QuotaRefusal | undefined>
  /** Claims the needed disk space; `NO_ROOM` where there is none. */
  create: (claim: Claim) => Promise<CreateResult | NoRoom>
}

/**
 * Creates an upload. Where quota or disk space is missing, tries again after ending uploads of the owner that hold it
 * for nothing: expired ones, and empty ones whose creation was never answered; of these only as many as needed. Fails
 * with a `Refusal`.
 */
async function createWithRoom(
  { db, enqueueRemoval, notifyListeners, ends, space, storageBackend }: CreationOptions,
  ownerId: OwnerId,
  attempt: Attempt,
): Promise<UploadRow> {
  const isRefused = ({ kind }: CreateResult) => kind !== 'created'
  const create = async () => {
    // The disk is checked before space is claimed, which nearly always suffices.
    if (storageBackend === 'disk') await space.room()
    const result = await space.enter<CreateResult>(attempt.create, { ...attempt, isRefused })
    if (result.kind === 'ticket-spent') throw spentTicket()
    return result
  }
  let result = await create()
  // Where the number of uploads allows it, the bytes may not.
  for (let round = 0; result.kind !== 'created' && round < 3; round++) {
    // Disk space is not this owner's alone: only expired uploads are ended for it.
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

const spentTicket = () =>
  new Refusal('ticket-used', 'The ticket has been used: no other upload can be begun with it.')

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
