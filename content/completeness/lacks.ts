/** Bytes that a header may be off by: padding and tags are counted in different ways. */
export const SPARE_BYTES = 1024

/** The words for a file of `size` bytes that says it has `promised`; undefined where it has them, or nearly so. */
export function lacks(promised: number, size: number): string | undefined {
  const missing = promised - size
  return missing > SPARE_BYTES ? `its header promises ${missing} bytes more than there are` : undefined
}
