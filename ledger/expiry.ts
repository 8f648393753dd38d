import { type RawBuilder, sql } from 'kysely'
import type { InSql } from './prepared.ts'
import type { UploadState } from './schema.ts'

// The only place that decides when an upload expires and whether it has, by the clock of the database. The reaper marks
// what has expired a moment later; no answer depends on whether it did yet.

/** How long an upload may stay unfinished. */
export type ExpiryPolicy = {
  /** Since its last acknowledged byte. */
  afterMs: number
  /** Since its creation. */
  maxAgeMs: number
}

/** For a row of `uploads`: whether it has expired, marked or not. */
export const isExpired = sql<boolean>`(
  state = 'expired' or (expires_at <= now() and (state = 'open' or (is_partial and state = 'received')))
)`

/** The state of a row of `uploads` as answers and events report it. */
export const stateNow = sql<UploadState>`case when ${isExpired} then 'expired' else state end`

/** Open and not expired. Uses the index on open uploads. */
export const isOpenNow = sql<boolean>`(state = 'open' and expires_at > now())`

const interval = (ms: number | RawBuilder<number>) => sql`make_interval(secs => ${ms}::float8 / 1000)`

/** Expiry of a new upload, until bytes arrive. */
export const firstExpiry = (policy: ExpiryPolicy): number => Math.min(policy.afterMs, policy.maxAgeMs)

/**
 * Expiry of an upload whose bytes are acknowledged now. Never earlier than promised before, by a server with a longer
 * period. An expired one stays expired, but a request that began before may still complete it.
 */
export const extendedExpiry = ({ afterMs, maxAgeMs }: InSql<ExpiryPolicy>): RawBuilder<Date> => sql<Date>`
  case when expires_at <= now() then expires_at
       else greatest(expires_at, least(now() + ${interval(afterMs)}, created_at + ${interval(maxAgeMs)})) end`
