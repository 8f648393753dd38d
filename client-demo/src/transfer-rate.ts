/** Speed over the last few seconds: steady enough to read, quick enough to notice a change. */
const windowMs = 4_000

export interface TransferRate {
  /** Is told how many bytes have been sent so far; returns bytes a second, or null before it can tell. */
  measure(bytes: number, nowMs: number): number | null
  /** Forgets the past, after a pause. */
  reset(): void
}

export function createTransferRate(): TransferRate {
  let samples: { readonly bytes: number; readonly atMs: number }[] = []

  return {
    measure(bytes, nowMs) {
      const last = samples.at(-1)
      // A retry begins again at the offset the server has: what was sent in vain does not count.
      if (last !== undefined && bytes < last.bytes) samples = []
      samples.push({ bytes, atMs: nowMs })
      samples = samples.filter((sample) => nowMs - sample.atMs <= windowMs)
      const first = samples[0]
      if (first === undefined || nowMs - first.atMs < 250) return null
      return ((bytes - first.bytes) / (nowMs - first.atMs)) * 1000
    },
    reset() {
      samples = []
    },
  }
}
