import { readAcceptedTypes } from '../../content/accepted-types.ts'
import { describeUpload, type Metadata } from '../../ledger/description.ts'
import { type OwnerId, ownerOf, type UploadId } from '../../ledger/ids.ts'
import { isReadKey } from '../../ledger/metadata-keys.ts'
import type { UploadTerms } from '../../ledger/schema.ts'
import type { Attachable } from '../attachment.ts'
import { checkMetadata, readDeclaration } from '../declaration.ts'
import { Refusal } from '../refusal.ts'
import { bothTerms } from '../terms.ts'
import { PreCreateAnswer, type PreCreateDecision } from './answers.ts'
import { HookUnavailable, type OwnHooks } from './own-hooks.ts'
import type { HookClient, PreCreateQuestion } from './questions.ts'

/** What hooks may change of a new upload. */
export type Changeable = {
  metadata: Metadata
  terms: UploadTerms | null
  /** What its caller may attach it to. */
  attachable: Attachable
}

export type Wanted = Changeable & {
  id: UploadId
  ownerId: OwnerId
  size: number | null
  isPartial: boolean
  protocol: string
  ticketId: string | null
  client: HookClient
}

export type OwnerLimits = NonNullable<PreCreateDecision['quota']>

/** Seconds after which a client may ask again. */
const RETRY_SECONDS = 5

/**
 * Asks the hooks of the application about an upload, one after another: each sees what those before have changed.
 * `setQuota`: called with limits of the owner. `over`: aborted when the client has left. Fails with a `Refusal`.
 */
export async function askPreCreate(
  hooks: OwnHooks,
  wanted: Wanted,
  { setQuota, over }: { setQuota: (limits: OwnerLimits) => Promise<void>; over: AbortSignal },
): Promise<Changeable> {
  const id = `pre-create_${wanted.id}`
  let { metadata, terms, attachable }: Changeable = wanted
  for (const source of hooks.sources) {
    const now = { ...wanted, metadata, terms, attachable }
    const answer = await hooks
      .ask(source, { hook: 'pre-create', id, data: questionOf(now) }, (text) => readAnswer(text, now), over)
      .catch(refuseUnanswered)
    if (answer === undefined) continue
    const { refuse, quota, attachedTo } = answer.decision
    if (refuse) throw new Refusal('refused-by-hook', refuse.message, {}, undefined, refuse.status)
    if (quota) await setQuota(quota)
    metadata = answer.metadata
    if (answer.limits) terms = bothTerms(terms ?? {}, answer.limits)
    // The application itself decides what its files belong to.
    if (attachedTo) attachable = undefined
  }
  return { metadata, terms, attachable }
}

function refuseUnanswered(error: unknown): never {
  if (!(error instanceof HookUnavailable)) throw error
  throw new Refusal(
    'hook-unavailable',
    'The application could not be asked whether it accepts the file. Try again.',
    {},
    RETRY_SECONDS,
  )
}

function questionOf({ id, ownerId, size, metadata, ...wanted }: Wanted): PreCreateQuestion {
  const { filename, declaredType } = readDeclaration(metadata)
  const owner = ownerOf(ownerId)
  const { isPartial, protocol, ticketId, client } = wanted
  const described = describeUpload(metadata)
  return {
    upload: { id, size, filename, contentType: declaredType, ...described, isPartial, protocol },
    owner: { id: owner.ownerId, tenantId: owner.tenantId },
    ticketId,
    client,
  }
}

/** The decision and its effects. Fails where it is not valid: the mistake is the hook's, and no client is told of it. */
function readAnswer(answer: unknown, { metadata, isPartial }: Wanted) {
  const decision = PreCreateAnswer.parse(answer)
  // What a file is called and belongs to is said of the whole file, which is asked about as well.
  const next = isPartial ? metadata : withDescription(metadata, decision)
  checkMetadata(next)
  return { decision, metadata: next, limits: decision.limits && termsOf(decision.limits) }
}

function termsOf({ maxSize, allowedTypes }: NonNullable<PreCreateDecision['limits']>): UploadTerms {
  const types = allowedTypes?.join(',')
  if (types !== undefined && readAcceptedTypes(types) === undefined)
    throw new Error(`limits.allowedTypes: there are no types ${JSON.stringify(types)}`)
  return { ...(maxSize === undefined ? {} : { maxSize }), ...(types === undefined ? {} : { types }) }
}

/** By the keys that clients use. */
function withDescription(
  metadata: Metadata,
  { filename, attachedTo, title, description, captions, metadata: own = {} }: PreCreateDecision,
): Metadata {
  const misplaced = Object.keys(own).find(isReadKey)
  if (misplaced !== undefined)
    throw new Error(`metadata: "${misplaced}" is no metadata of the application, but a member of the answer`)
  const changes: Record<string, string | null | undefined> = {
    ...own,
    title,
    description,
    captions: captions === null ? null : captions?.join(','),
    ...(filename === undefined ? {} : { filename, name: null }),
    ...(attachedTo === undefined
      ? {}
      : { attachedToType: attachedTo?.type ?? null, attachedToId: attachedTo?.id ?? null }),
  }
  const entries = Object.entries(changes).filter(([, value]) => value !== undefined)
  const changed = new Set(entries.map(([key]) => key))
  return Object.fromEntries([
    ...Object.entries(metadata).filter(([key]) => !changed.has(key)),
    ...entries.filter(([, value]) => value !== null),
  ]) as Metadata
}
