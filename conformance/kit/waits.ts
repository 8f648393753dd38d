/** Servers do some things a moment later: what a row waits for, and how long. */

const INTERVAL_MS = 100
/** By then a server has begun with what it was sent before. */
const UNDER_WAY_MS = 500

export const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds))

/** Whether a request that was sent is being looked at cannot be seen; it is, after a while. */
export const untilUnderWay = (): Promise<void> => pause(UNDER_WAY_MS)

/** Asks until it is so; false when it never was. */
export async function eventually(isSo: () => Promise<boolean>, timeoutMs = 5000): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  while (!(await isSo())) {
    if (Date.now() > deadline) return false
    await pause(INTERVAL_MS)
  }
  return true
}

/** What a promise gives, or else this when it takes longer. */
export async function orElse<T, E>(promise: Promise<T>, timeoutMs: number, otherwise: E): Promise<T | E> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<E>((resolve) => {
    timer = setTimeout(resolve, timeoutMs, otherwise)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
