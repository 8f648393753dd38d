import { MIN_PART_BYTES } from './part-size.ts'

/** Bytes `[start, end]` of source number `source`. */
export type Piece = { source: number; start: number; end: number }
/** One part of the whole: copied inside the bucket, or joined from pieces that pass through here. */
export type PlannedPart = { kind: 'copy'; piece: Piece } | { kind: 'join'; pieces: readonly Piece[] }

/**
 * How sources of these sizes become the parts of one object: every part but the last has at least 5 MiB and at
 * most `maxPart` bytes (itself at least twice as many), in order and without a gap. As much as possible is copied
 * inside the bucket; only around the end of a source that is too small for a part of its own are up to 5 MiB joined.
 */
export function planConcat(sizes: readonly number[], maxPart: number): PlannedPart[] {
  const parts: PlannedPart[] = []
  let small: Piece[] = []
  let smallBytes = 0
  const join = () => {
    if (smallBytes > 0) parts.push(partOf(small, sizes))
    small = []
    smallBytes = 0
  }
  for (const [source, size] of sizes.entries()) {
    let at = 0
    const piece = (bytes: number): Piece => {
      at += bytes
      return { source, start: at - bytes, end: at - 1 }
    }
    const keep = (bytes: number) => {
      smallBytes += bytes
      small.push(piece(bytes))
    }
    if (smallBytes > 0 && size > 0) {
      keep(Math.min(size, MIN_PART_BYTES - smallBytes))
      if (smallBytes >= MIN_PART_BYTES) join()
    }
    while (size - at >= MIN_PART_BYTES) parts.push(partOf([piece(partBytes(size - at, maxPart))], sizes))
    if (size > at) keep(size - at)
  }
  join()
  return parts
}

/** As large as allowed, but so that what is left is enough for another part. */
function partBytes(left: number, maxPart: number): number {
  if (left <= maxPart) return left
  return left - maxPart < MIN_PART_BYTES ? left - MIN_PART_BYTES : maxPart
}

/** S3 copies a range only of what is larger than 5 MiB; anything smaller it copies whole. */
function partOf(pieces: readonly Piece[], sizes: readonly number[]): PlannedPart {
  const [piece] = pieces
  if (!piece || pieces.length > 1) return { kind: 'join', pieces }
  const size = sizes[piece.source] ?? 0
  const isCopied = size > MIN_PART_BYTES || (piece.start === 0 && piece.end === size - 1)
  return isCopied ? { kind: 'copy', piece } : { kind: 'join', pieces }
}

/** Whether a part is all of a source. */
export const isWhole = ({ start, end }: Piece, sizes: readonly number[], source: number): boolean =>
  start === 0 && end === (sizes[source] ?? 0) - 1
