import type { FileView } from '../file-view.ts'

const STEP_BYTES = 64 * 1024

/**
 * How many of the bytes before `end` are zeros, as after a download into space that was reserved for it. Stops at
 * `enough`.
 */
export async function zerosBefore(file: FileView, end: number, enough: number): Promise<number> {
  for (let at = end; at > 0; ) {
    const start = Math.max(0, at - STEP_BYTES)
    const bytes = (await file.take(start, at - start)).subarray(0, at - start)
    const last = bytes.findLastIndex((byte) => byte !== 0)
    if (last >= 0) return end - start - last - 1
    at = start
    if (end - at >= enough) break
  }
  return enough
}
