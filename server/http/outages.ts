import { databaseOutage, isNetworkError } from '../../ledger/outages.ts'
import { DatabaseReadOnly } from '../../ledger/ping.ts'
import { TurnRefused } from '../../ledger/turns.ts'
import { StorageUnavailable } from '../../storage/store/objects.ts'
import { isCode } from '../../system/error-code.ts'
import { Problem } from './errors.ts'

export type Dependency = 'database' | 'storage' | 'network'

export type Outage = { dependency: Dependency; retryAfterSeconds: number }

const DETAILS: Record<Dependency, string> = {
  database: 'The database is temporarily unavailable or read-only.',
  storage: 'The storage is temporarily unavailable. Acknowledged bytes are kept.',
  network: 'A service that this server depends on is temporarily unavailable.',
}

/**
 * The dependency whose outage caused an error; undefined for any other error. Each dependency defines its own outages:
 * `ledger/outages.ts`, and `storage/s3/s3-errors.ts` and `storage/disk/disk-objects.ts`, which make
 * `StorageUnavailable` of them.
 */
export function outageOf(error: unknown): Outage | undefined {
  if (error instanceof StorageUnavailable) return { dependency: 'storage', retryAfterSeconds: 5 }
  if (error instanceof TurnRefused) return { dependency: 'database', retryAfterSeconds: 2 }
  if (error instanceof DatabaseReadOnly) return { dependency: 'database', retryAfterSeconds: 5 }
  // Network errors of any peer; pg and the S3 SDK have the same codes.
  if (isNetworkError(error) && !isCode(error, 'ENOENT'))
    return { dependency: 'network', retryAfterSeconds: 5 }
  const outage = databaseOutage(error)
  return outage && { dependency: 'database', retryAfterSeconds: outage.retryAfterSeconds }
}

/** What a client sees of an outage; undefined for any other error. */
export function unavailable(error: unknown): Problem | undefined {
  const outage = outageOf(error)
  if (!outage) return undefined
  return new Problem('unavailable', DETAILS[outage.dependency], {
    headers: { 'Retry-After': String(outage.retryAfterSeconds) },
    cause: error,
  })
}
