const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** Delays after failed attempts; after the last one a delivery has failed. */
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

/** Jitter as a fraction of the delay, so that deliveries that failed together are not retried together. */
const JITTER = 0.2

/**
 * Milliseconds until the attempt after `failures` failed ones, at least as long as the receiver asks for; undefined
 * after the last.
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
