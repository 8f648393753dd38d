import {
  type AcceptedTypes,
  acceptsAnything,
  acceptsDocuments,
  mayAccept,
} from '../content/accepted-types.ts'
import {
  contradicts,
  extensionOf,
  type Format,
  fileOf,
  formatOfName,
  formatOfType,
  KNOWN,
} from '../content/formats.ts'
import { dangerousExtension, isForeignExtension } from '../content/names.ts'
import { describeUpload } from '../ledger/description.ts'
import type { ExpiryPolicy } from '../ledger/expiry.ts'
import type { QuotaDefaults } from '../ledger/quotas.ts'
import { type Attachable, checkAttachment } from './attachment.ts'
import { checkMetadata, type Declaration, readDeclaration } from './declaration.ts'
import { Refusal } from './refusal.ts'

export type UploadPolicy = {
  minSize: number
  maxSize: number
  accepted: AcceptedTypes
  quota: QuotaDefaults
  expiry: ExpiryPolicy
}

/** The parts of a creation that the policy decides by. */
export type WantedUpload = {
  /** Bytes; null when the client will declare it later, or partials of unknown size are concatenated. */
  size: number | null
  isPartial: boolean
  metadata: Record<string, string | null>
  /** What its caller may attach files to. */
  attachable: Attachable
}

/** Decides whether an upload may begin, and reads its declaration. Fails with a `Refusal`. */
export function preCreate(policy: UploadPolicy, wanted: WantedUpload): Declaration {
  const { size, isPartial, metadata, attachable } = wanted
  // A partial may be smaller than the smallest file.
  checkSize(isPartial ? { ...policy, minSize: 0 } : policy, size)
  checkMetadata(metadata)
  checkAttachment(attachable, describeUpload(metadata).attachedTo)
  const declaration = readDeclaration(metadata)
  checkType(policy, declaration)
  return declaration
}

/** Checks the size limits, for a length declared at creation or later. Fails with a `Refusal`. */
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

/** Types that no audio, image or video file has. Unknown ones may be anything. */
const FOREIGN_TYPE = /^(?!(?:video|audio|image)\/[^\s/+]+$)/i

/**
 * Refuses files early that are clearly of no accepted format, by name or declared type. The content decides about all
 * others once it arrives.
 */
function checkType({ accepted }: UploadPolicy, { filename, declaredType }: Declaration): void {
  const refuse = (what: string): never => {
    throw new Refusal('type-not-allowed', `${what} is not accepted.`, {
      allowed: [...accepted.formats.map(({ contentType }) => contentType), ...accepted.others],
    })
  }
  const declared = declaredType === null ? undefined : formatOfType(KNOWN, declaredType)
  const named = filename === null ? undefined : formatOfName(KNOWN, filename)
  const bareType = declaredType?.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  const isAccepted = declaredType !== null && mayAccept(accepted, declared ?? fileOf(bareType))
  // Programs declare one document by the type of another, such as a table as one of Excel.
  const isExcused = declared && named && isDocument(declared) && mayAccept(accepted, named)
  if (declaredType !== null && !isAccepted && !isExcused && (declared || FOREIGN_TYPE.test(bareType)))
    refuse(`A file of the declared type ${shown(bareType)}`)

  const extension = filename === null ? undefined : extensionOf(filename)
  // A type that is not in our table was accepted by its own name: the file may have any.
  if (filename === null || extension === undefined || acceptsAnything(accepted) || (isAccepted && !declared))
    return
  if (dangerousExtension(filename) === extension) refuse(`A file with the extension ".${extension}"`)
  if (named && declared && contradicts(named, declared))
    refuse(`A file with the extension ".${extension}" and the declared type ${declared.contentType}`)
  // What is declared as an accepted type may have any other name.
  const isForeign = named
    ? !mayAccept(accepted, named)
    : !acceptsDocuments(accepted) && isForeignExtension(extension)
  if (isForeign && !declared) refuse(`A file with the extension ".${extension}"`)
}

const isDocument = ({ kind }: Format): boolean => kind === 'document' || kind === 'file'

const MAX_SHOWN = 100
const shown = (type: string): string => (type.length > MAX_SHOWN ? `${type.slice(0, MAX_SHOWN)}…` : type)
