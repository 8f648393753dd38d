const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** How long after a failed attempt the next one comes; after the last of them a delivery has failed. */
export const SCHEDULE_MS: readonly number[] = [
  5 * SECOND,
  30 * SECOND,
  2 * MINUTE,
  10 * MINUTE,
  30 * MINUTE,
  HOUR,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  24 * HOUR,
]

/** By how much of itself a delay may be longer, so that what failed together does not come back together. */
const JITTER = 0.2
const MAX_RETRY_AFTER_MS = 24 * HOUR

/**
 * Milliseconds until the next attempt after the `failures`th that failed (from 1), and not before the receiver
 * wants it; undefined when that was the last.
 */
export function retryDelayMs(
  failures: number,
  retryAfterMs: number | undefined,
  { schedule = SCHEDULE_MS, random = Math.random } = {},
): number | undefined {
  const delayMs = schedule[failures - 1]
  if (delayMs === undefined) return undefined
  return Math.max(delayMs * (1 + JITTER * random()), retryAfterMs ?? 0)
}

/** `Retry-After` (RFC 9110 § 10.2.3) in milliseconds, at most a day; undefined when it says nothing. */
export function parseRetryAfter(header: string | undefined, now = Date.now()): number | undefined {
  const text = header?.trim() ?? ''
  const ms = /^\d+$/.test(text) ? Number(text) * SECOND : Date.parse(text) - now
  // Without a letter it is no date, whatever `Date.parse` makes of it.
  if (Number.isNaN(ms) || (!/^\d+$/.test(text) && !/[a-z]/i.test(text))) return undefined
  return Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS)
}
