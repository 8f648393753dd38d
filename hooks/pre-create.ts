import { extensionOf, type Format, formatOfName, formatOfType } from '../content/formats.ts'
import type { ExpiryPolicy } from '../ledger/expiry.ts'
import type { QuotaDefaults } from '../ledger/quotas.ts'
import { checkMetadata, type Declaration, readDeclaration } from './declaration.ts'
import { Refusal } from './refusal.ts'

export type UploadPolicy = {
  minSize: number
  maxSize: number
  allowedFormats: readonly Format[]
  quota: QuotaDefaults
  expiry: ExpiryPolicy
}

/** The parts of a creation that the policy decides by. */
export type WantedUpload = {
  /** Bytes; null when the client will declare it later, or partials of unknown size are concatenated. */
  size: number | null
  isPartial: boolean
  metadata: Record<string, string | null>
}

/** Decides whether an upload may begin, and reads its declaration. Fails with a `Refusal`. */
export function preCreate(policy: UploadPolicy, { size, isPartial, metadata }: WantedUpload): Declaration {
  // A partial may be smaller than the smallest file.
  checkSize(isPartial ? { ...policy, minSize: 0 } : policy, size)
  checkMetadata(metadata)
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

/**
 * Name and declared type, where given, must each be of an allowed format, and of the same kind. The bytes tell later
 * what the file is.
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
  // Sound and video may be in one container: the streams tell which it is.
  const isSame = !named || !declared || named.kind === declared.kind || named.family === declared.family
  if (named && declared && !isSame) {
    refuse(`A file with the extension ".${extension}" and the declared type ${declared.contentType}`)
  }
}
