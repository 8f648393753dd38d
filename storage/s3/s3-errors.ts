import { ObjectMissing, StorageFull, StorageUnavailable } from '../store/objects.ts'

type S3Error = Error & { $metadata?: { httpStatusCode?: number } }

const statusOf = (error: unknown): number | undefined =>
  error instanceof Error ? (error as S3Error).$metadata?.httpStatusCode : undefined

/**
 * Codes by which a bucket refuses us, and not this request: credentials that are wrong, expired or without the right, a
 * clock that is off, a bucket that is elsewhere or gone. An operator sees to it; what was asked is right, and stays so.
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

/** Whether the bucket refuses us, whatever we ask. Of a HEAD there is no code, only the status. */
export function isRefused(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const status = statusOf(error)
  // To a HEAD with credentials that have expired S3 says 400, and not why.
  const isUnexplained = status === 400 && /^(Unknown|UnknownError|BadRequest)$/.test(error.name)
  const isNamed = REFUSED.has(error.name) || error.name.startsWith('KMS.')
  return status === 401 || status === 403 || isNamed || isUnexplained
}

/** No such object or multipart upload, or another object than the one asked for. */
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

/** The bucket itself says that it does not have this. A bare 404 may come from anything on the way to it. */
export function isGone(error: unknown): boolean {
  return error instanceof Error && GONE.includes(error.name)
}

/** The etags that a completion names are not those of the parts that are there. */
export function isInvalidPart(error: unknown): boolean {
  return error instanceof Error && (error.name === 'InvalidPart' || error.name === 'EntityTooSmall')
}

/** What was to be stored could not be read: no matter of the bucket. */
export class BodyUnreadable extends Error {
  constructor(options?: ErrorOptions) {
    super('what was to be stored could not be read', options)
    this.name = 'BodyUnreadable'
  }
}

/** The server has no such call, however well it is. */
export function lacksCall(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return statusOf(error) === 501 || error.name === 'NotImplemented' || error.name === 'MethodNotAllowed'
}

const NEVER_PASSING = ['AbortError', 'CredentialsProviderError', 'LeaseLost', 'BodyUnreadable']

/** Whether the same call may succeed a moment later: anything but a clear answer that it never will. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof Error) || NEVER_PASSING.includes(error.name)) {
    return false
  }
  const status = statusOf(error)
  if (status === undefined || status < 400 || status >= 500) return true
  // Of a clock that is off the SDK learns by how much, and signs the next one right.
  const isNamed = ['RequestTimeout', 'SlowDown', 'RequestTimeTooSkewed'].includes(error.name)
  return status === 408 || status === 429 || isNamed
}

/** A full bucket, or one that is away or refuses us, as the rest of the house knows it. */
export function translateS3Error(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const isFull =
    statusOf(error) === 507 || ['QuotaExceeded', 'StorageFull', 'XMinioStorageFull'].includes(error.name)
  if (isFull) return new StorageFull({ cause: error })
  return isPassing(error) || isRefused(error) ? new StorageUnavailable({ cause: error }) : error
}

/** An answer that makes no sense where it came: for now the storage is away. */
export function asStorageUnavailable(error: unknown): unknown {
  return statusOf(error) === 404 || error instanceof ObjectMissing
    ? new StorageUnavailable({ cause: error })
    : error
}
