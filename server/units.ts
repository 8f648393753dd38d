const SIZE_FACTORS: Record<string, number> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
}

const DURATION_FACTORS: Record<string, number> = {
  ms: 1,
  s: 1e3,
  m: 60e3,
  h: 3600e3,
  d: 86400e3,
  y: 365 * 86400e3,
}

/**
 * Bytes of "500MB" (500,000,000), "500MiB" (524,288,000) or "1048576"; undefined when it is no size. Units are those of
 * IEC 80000-13 everywhere: decimal, or binary with an "i".
 */
export function parseSize(text: string): number | undefined {
  return parseWith(SIZE_FACTORS, text)
}

/** Milliseconds of "24h", "60s" or "1.5m"; undefined when it is no duration. The unit is required. */
export function parseDuration(text: string): number | undefined {
  return parseWith(DURATION_FACTORS, text)
}

function parseWith(factors: Record<string, number>, text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim())
  const factor = factors[match?.[2]?.toLowerCase() ?? '?']
  if (!match?.[1] || factor === undefined) return undefined
  const value = Math.round(Number(match[1]) * factor)
  return Number.isSafeInteger(value) ? value : undefined
}
