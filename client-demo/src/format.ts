/** As the server reads `500MB` and `500MiB`. */
export type Units = 'decimal' | 'binary'

const scales = {
  decimal: { step: 1000, names: ['B', 'KB', 'MB', 'GB', 'TB'] },
  binary: { step: 1024, names: ['B', 'KiB', 'MiB', 'GiB', 'TiB'] },
} as const

/** `1500` → `1.5 KB`, or `1536` → `1.5 KiB`; one decimal below 100 of a unit. */
export function formatBytes(bytes: number, units: Units = 'decimal'): string {
  if (!Number.isFinite(bytes) || bytes < 0) return '–'
  const { value, unit } = scaled(bytes, units)
  return `${trimZero(value.toFixed(digitsOf(value, unit)))} ${scales[units].names[unit]}`
}

/** The units in which a limit is a short number: `524288000` is exactly 500 MiB, and no short number of MB. */
export function unitsOf(limit: number): Units {
  return !isExact(limit, 'decimal') && isExact(limit, 'binary') ? 'binary' : 'decimal'
}

/** A limit as it is, never rounded: `500 MiB`, `2.5 GB`, or `1,234,567 bytes`. */
export function formatByteLimit(limit: number): string {
  const units = unitsOf(limit)
  return isExact(limit, units) ? formatBytes(limit, units) : exactBytes(limit)
}

/** A size beside a limit that it breaks, in the units of the limit: never the same text as the limit. */
export function formatBeside(bytes: number, limit: number): string {
  const text = formatBytes(bytes, unitsOf(limit))
  return text === formatBytes(limit, unitsOf(limit)) ? exactBytes(bytes) : text
}

function scaled(bytes: number, units: Units): { value: number; unit: number } {
  const { step, names } = scales[units]
  let value = bytes
  let unit = 0
  // 999.96 KB would round to "1000 KB": it belongs to the next unit.
  while (Math.round(value) >= step && unit < names.length - 1) {
    value /= step
    unit += 1
  }
  return { value, unit }
}

const digitsOf = (value: number, unit: number): number => (unit === 0 || value >= 100 ? 0 : 1)

function isExact(bytes: number, units: Units): boolean {
  const { value, unit } = scaled(bytes, units)
  return Number(value.toFixed(digitsOf(value, unit))) === value
}

const exactBytes = (bytes: number): string => `${bytes.toLocaleString('en')} bytes`

export function formatSpeed(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`
}

/** Seconds left, as coarse as a guess deserves: `a few seconds left`, `40 s left`, `3 min left`, `1 h 20 min left`. */
export function formatEta(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return ''
  if (seconds < 5) return 'a few seconds left'
  if (seconds < 60) return `${Math.ceil(seconds / 5) * 5} s left`
  const minutes = Math.ceil(seconds / 60)
  if (minutes < 60) return `${minutes} min left`
  const hours = Math.floor(minutes / 60)
  const rest = minutes % 60
  return rest === 0 ? `${hours} h left` : `${hours} h ${rest} min left`
}

/** A running time as players show it: `0:07`, `12:30`, `1:02:03`. */
export function formatDuration(seconds: number): string {
  const total = Math.max(0, Math.round(seconds))
  const hours = Math.floor(total / 3600)
  const minutes = Math.floor((total % 3600) / 60)
  const two = (value: number) => String(value).padStart(2, '0')
  return hours > 0 ? `${hours}:${two(minutes)}:${two(total % 60)}` : `${minutes}:${two(total % 60)}`
}

/** A limit in words: `3 min`, `2 h`, `1 h 30 min`. */
export function formatLimit(seconds: number): string {
  if (seconds < 60) return `${seconds} s`
  const hours = Math.floor(seconds / 3600)
  const minutes = Math.round((seconds % 3600) / 60)
  return [hours > 0 ? `${hours} h` : '', minutes > 0 ? `${minutes} min` : ''].filter(Boolean).join(' ')
}

/** Whole percent that reaches 100 only when everything is there. An empty file is complete. */
export function percentOf(part: number, whole: number): number {
  if (whole <= 0) return 100
  return Math.min(100, Math.max(0, Math.floor((part / whole) * 100)))
}

export function formatBitrate(bitsPerSecond: number): string {
  return bitsPerSecond >= 1_000_000
    ? `${trimZero((bitsPerSecond / 1_000_000).toFixed(1))} Mbit/s`
    : `${Math.round(bitsPerSecond / 1000)} kbit/s`
}

function trimZero(text: string): string {
  return text.endsWith('.0') ? text.slice(0, -2) : text
}
