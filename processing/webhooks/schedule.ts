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
