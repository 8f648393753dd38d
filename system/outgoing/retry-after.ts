const MAX_MS = 24 * 3_600_000

/** `Retry-After` (RFC 9110 § 10.2.3) in milliseconds, at most a day; undefined when it says nothing. */
export function parseRetryAfter(header: string | undefined, now = Date.now()): number | undefined {
  const text = header?.trim() ?? ''
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now
  // `Date.parse` accepts more than dates.
  if (Number.isNaN(ms) || (!/^\d+$/.test(text) && !/[a-z]/i.test(text))) return undefined
  return Math.min(Math.max(ms, 0), MAX_MS)
}
