import { type RawBuilder, sql } from 'kysely'
import type { UploadState } from './schema.ts'

// When an upload expires, and whether it has: said here alone, by the clock of the database. The reaper ends what has
// expired a moment later; nobody can tell whether it was there yet.

/** How long an upload may stay unfinished. */
export type ExpiryPolicy = {
  /** Since its last acknowledged byte. */
  afterMs: number
  /** Since its creation, whatever has arrived. */
  maxAgeMs: number
}

/** Of a row of `uploads`: whether its time is over, whether it is marked so or not. */
export const isExpired = sql<boolean>`(
  state = 'expired' or (expires_at <= now() and (state = 'open' or (is_partial and state = 'received')))
)`

/** The state of a row of `uploads` as everybody is told it. */
export const stateNow = sql<UploadState>`case when ${isExpired} then 'expired' else state end`

/** Open, and not expired. By the index on open uploads. */
export const isOpenNow = sql<boolean>`(state = 'open' and expires_at > now())`

const seconds = (ms: number) => sql`make_interval(secs => ${ms / 1000}::float8)`

/** When an upload that is created now expires, as long as none of its bytes arrive. */
export const firstExpiry = (policy: ExpiryPolicy): number => Math.min(policy.afterMs, policy.maxAgeMs)

/**
 * When an upload expires of which bytes are acknowledged now. Never earlier than was promised before, by a server
 * that grants more. What has expired stays so: a request that began before may still complete it.
 */
export const extendedExpiry = ({ afterMs, maxAgeMs }: ExpiryPolicy): RawBuilder<Date> => sql<Date>`
  case when expires_at <= now() then expires_at
       else greatest(expires_at, least(now() + ${seconds(afterMs)}, created_at + ${seconds(maxAgeMs)})) end`
