import { MIN_PART_BYTES } from './part-size.ts'

/** Bytes `[start, end]` of source number `source`. */
export type SourceRange = { source: number; start: number; end: number }
/** One part of the object: copied inside the bucket, or joined from ranges that are read here. */
export type PlannedPart =
  | { kind: 'copy'; range: SourceRange }
  | { kind: 'join'; ranges: readonly SourceRange[] }

/**
 * Plans how sources of these sizes become the parts of one object, in order and without gaps: every part but the last
 * has at least 5 MiB and at most `maxPart` bytes (itself at least twice as many). As much as possible is copied inside
 * the bucket; only up to 5 MiB around the end of a small source are joined.
 */
export function planConcat(sizes: readonly number[], maxPart: number): PlannedPart[] {
  const parts: PlannedPart[] = []
  let small: SourceRange[] = []
  let smallBytes = 0
  const join = () => {
    if (smallBytes > 0) parts.push(partOf(small, sizes))
    small = []
    smallBytes = 0
  }
  for (const [source, size] of sizes.entries()) {
    let at = 0
    const range = (bytes: number): SourceRange => {
      at += bytes
      return { source, start: at - bytes, end: at - 1 }
    }
    const keep = (bytes: number) => {
      smallBytes += bytes
      small.push(range(bytes))
    }
    if (smallBytes > 0 && size > 0) {
      keep(Math.min(size, MIN_PART_BYTES - smallBytes))
      if (smallBytes >= MIN_PART_BYTES) join()
    }
    while (size - at >= MIN_PART_BYTES) parts.push(partOf([range(partBytes(size - at, maxPart))], sizes))
    if (size > at) keep(size - at)
  }
  join()
  return parts
}

/** As large as allowed while the rest is enough for another part. */
function partBytes(left: number, maxPart: number): number {
  if (left <= maxPart) return left
  return left - maxPart < MIN_PART_BYTES ? left - MIN_PART_BYTES : maxPart
}

/** S3 copies a range only of objects larger than 5 MiB; smaller ones it copies whole. */
function partOf(ranges: readonly SourceRange[], sizes: readonly number[]): PlannedPart {
  const [range] = ranges
  if (!range || ranges.length > 1) return { kind: 'join', ranges }
  const size = sizes[range.source] ?? 0
  const isCopied = size > MIN_PART_BYTES || (range.start === 0 && range.end === size - 1)
  return isCopied ? { kind: 'copy', range } : { kind: 'join', ranges }
}
