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

/** What of a creation policy decides by. */
export type WantedUpload = {
  /** Bytes; null when the client will declare it later, or when that of its parts is not known yet. */
  size: number | null
  isPartial: boolean
  metadata: Record<string, string | null>
}

/** Decides whether such an upload may begin, and reads what is said of its file. Fails with a `Refusal`. */
export function preCreate(policy: UploadPolicy, { size, isPartial, metadata }: WantedUpload): Declaration {
  // A piece of a file may be smaller than a file.
  checkSize(isPartial ? { ...policy, minSize: 0 } : policy, size)
  checkMetadata(metadata)
  const declaration = readDeclaration(metadata)
  checkType(policy, declaration)
  return declaration
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
