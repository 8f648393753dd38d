import { ObjectMissing, StorageFull, StorageUnavailable } from '../store/objects.ts'

type S3Error = Error & { $metadata?: { httpStatusCode?: number } }

const statusOf = (error: unknown): number | undefined =>
  error instanceof Error ? (error as S3Error).$metadata?.httpStatusCode : undefined

/**
 * Codes by which a bucket refuses every request: wrong, expired or insufficient credentials, a wrong clock, a bucket
 * that is elsewhere or gone. The request itself is fine; an operator has to act.
 */
const REFUSED: ReadonlySet<string> = new Set([
  'AccessDenied',
  'AccountProblem',
  'AllAccessDisabled',
  'AuthorizationHeaderMalformed',
  'AuthorizationQueryParametersError',
  'CredentialsProviderError',
  'ExpiredToken',
  'ExpiredTokenException',
  'Forbidden',
  'IncorrectEndpoint',
  'InvalidAccessKeyId',
  'InvalidSecurity',
  'InvalidToken',
  'NoSuchBucket',
  'NotSignedUp',
  'OperationAborted',
  'PermanentRedirect',
  'RequestExpired',
  'RequestTimeTooSkewed',
  'SignatureDoesNotMatch',
  'TemporaryRedirect',
  'TokenProviderError',
  'TokenRefreshRequired',
  'UnauthorizedAccess',
])

/** Whether the bucket refuses every request. A HEAD has no code, only the status. */
export function isRefused(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const status = statusOf(error)
  // For a HEAD with expired credentials S3 answers 400 without a reason.
  const isUnexplained = status === 400 && /^(Unknown|UnknownError|BadRequest)$/.test(error.name)
  const isNamed = REFUSED.has(error.name) || error.name.startsWith('KMS.')
  return status === 401 || status === 403 || isNamed || isUnexplained
}

/** No such object or multipart upload, or it was replaced. */
export function isMissing(error: unknown): boolean {
  if (!(error instanceof Error) || REFUSED.has(error.name)) return false
  return (
    statusOf(error) === 404 ||
    statusOf(error) === 412 ||
    error.name === 'NoSuchUpload' ||
    error.name === 'NoSuchKey'
  )
}

const GONE = ['NoSuchUpload', 'NoSuchKey', 'PreconditionFailed']

/** The bucket itself says that it does not have this. A bare 404 may come from a proxy. */
export function isGone(error: unknown): boolean {
  return error instanceof Error && GONE.includes(error.name)
}

/** The etags of a completion do not match the stored parts. */
export function isInvalidPart(error: unknown): boolean {
  return error instanceof Error && (error.name === 'InvalidPart' || error.name === 'EntityTooSmall')
}

/** The body could not be read, which is not the bucket's fault. */
export class BodyUnreadable extends Error {
  constructor(options?: ErrorOptions) {
    super('what was to be stored could not be read', options)
    this.name = 'BodyUnreadable'
  }
}

/** The server does not implement this call. */
export function lacksCall(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return statusOf(error) === 501 || error.name === 'NotImplemented' || error.name === 'MethodNotAllowed'
}

const NEVER_PASSING = ['AbortError', 'CredentialsProviderError', 'LeaseLost', 'BodyUnreadable']

/** Whether a retry may succeed: everything but a clear answer that it cannot. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof Error) || NEVER_PASSING.includes(error.name)) {
    return false
  }
  const status = statusOf(error)
  if (status === undefined || status < 400 || status >= 500) return true
  // The SDK learns the clock skew from it, and signs the next one right.
  const isNamed = ['RequestTimeout', 'SlowDown', 'RequestTimeTooSkewed'].includes(error.name)
  return status === 408 || status === 429 || isNamed
}

/** Translates an error: a bucket that is full, unavailable, or refuses us. */
export function translateS3Error(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const isFull =
    statusOf(error) === 507 || ['QuotaExceeded', 'StorageFull', 'XMinioStorageFull'].includes(error.name)
  if (isFull) return new StorageFull({ cause: error })
  return isPassing(error) || isRefused(error) ? new StorageUnavailable({ cause: error }) : error
}

/**
 * Translates the error of a call about an object: `ObjectMissing` where the bucket itself says that it has no such object,
 * or another; `StorageUnavailable` where only somebody in between may have said so.
 */
export function translateMissing(error: unknown, key: string): unknown {
  if (isGone(error)) return new ObjectMissing(key, { cause: error })
  return isMissing(error) ? new StorageUnavailable({ cause: error }) : error
}

/** For an answer that makes no sense in its place: the storage counts as unavailable. */
export function asStorageUnavailable(error: unknown): unknown {
  return statusOf(error) === 404 || error instanceof ObjectMissing
    ? new StorageUnavailable({ cause: error })
    : error
}
