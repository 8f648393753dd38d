import type { FileView } from '../file-view.ts'

const STEP_BYTES = 64 * 1024

/** How many bytes at the end of a file are zeros, as after a download into space that was reserved for it. */
export async function zeroTail(file: FileView): Promise<number> {
  let end = file.size
  while (end > 0) {
    const start = Math.max(0, end - STEP_BYTES)
    const bytes = (await file.take(start, end - start)).subarray(0, end - start)
    const last = bytes.findLastIndex((byte) => byte !== 0)
    if (last >= 0) return file.size - start - last - 1
    end = start
  }
  return file.size
}
