import { type RawBuilder, sql } from 'kysely'
import type { InSql } from './prepared.ts'
import type { UploadState } from './schema.ts'

// The only place that decides what state an upload is in, by its row and the clock of the database. The reaper marks
// what has expired a moment later; no answer depends on whether it did yet.

/** How long an upload may stay unfinished. */
export type ExpiryPolicy = {
  /** Since its last acknowledged byte. */
  afterMs: number
  /** Since its creation. */
  maxAgeMs: number
}

// The stored state, for statements that ignore the clock: a request that began in time may commit later, and an expired
// upload holds quota and bytes until it is marked. `row`: the name of the table in a statement that has several.

const column = (name: string, row?: string) => sql.ref(row === undefined ? name : `${row}.${name}`)

export const isStoredOpen = (row?: string) => sql<boolean>`${column('state', row)} = 'open'`

/** Open, or a partial that a final has used: those in the index on `reap_after`. */
export const isStoredUnended = (row?: string) =>
  sql<boolean>`(${isStoredOpen(row)} or (${column('is_partial', row)} and ${column('state', row)} = 'received'))`

export const isStoredEnded = (row?: string) =>
  sql<boolean>`${column('state', row)} in ('terminated', 'expired', 'rejected')`

/** For a row of `uploads`: whether it has expired, marked or not. */
export const isExpired = sql<boolean>`(state = 'expired' or (expires_at <= now() and ${isStoredUnended()}))`

/** Expired and not marked: it still holds quota. Uses the index on open uploads. */
export const isUnmarked = sql<boolean>`(${isStoredOpen()} and expires_at <= now())`

/** The state of a row of `uploads` as answers and events report it. */
export const stateNow = sql<UploadState>`case when ${isExpired} then 'expired' else state end`

/** Open and not expired. Uses the index on open uploads. */
export const isOpenNow = sql<boolean>`(${isStoredOpen()} and expires_at > now())`

/** For an upload that was read: whether it is neither open nor received. */
export const hasEnded = ({ state }: { state: UploadState }): boolean =>
  state !== 'open' && state !== 'received'

const interval = (ms: number | RawBuilder<number>) => sql`make_interval(secs => ${ms}::float8 / 1000)`

/** Expiry of a new upload, until bytes arrive. */
export const firstExpiry = (policy: ExpiryPolicy): number => Math.min(policy.afterMs, policy.maxAgeMs)

/**
 * Expiry of an upload whose bytes are acknowledged now. Never earlier than promised before, by a server with a longer
 * period. An expired one stays expired, but a request that began before may still complete it.
 */
export const extendedExpiry = ({ afterMs, maxAgeMs }: InSql<ExpiryPolicy>): RawBuilder<Date> => sql<Date>`
  case when expires_at <= now() then expires_at
       else greatest(expires_at, least(now() + ${interval(afterMs)}, created_at + ${interval(maxAgeMs)},
                                       (terms ->> 'until')::timestamptz)) end`
