/**
 * The result of work that has so many milliseconds, also where it does not heed its signal. Fails when the time is over,
 * and with the reason of `over` once that is aborted.
 */
export async function withinTime<Result>(
  ms: number,
  over: AbortSignal,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  over.throwIfAborted()
  const ended = new AbortController()
  const { promise: end, reject } = Promise.withResolvers<never>()
  ended.signal.addEventListener('abort', () => reject(ended.signal.reason), { once: true })
  const timer = setTimeout(() => ended.abort(new Error(`not done within ${ms} ms`)), ms)
  const leave = () => ended.abort(over.reason)
  over.addEventListener('abort', leave, { once: true })
  try {
    return await Promise.race([work(ended.signal), end])
  } finally {
    clearTimeout(timer)
    over.removeEventListener('abort', leave)
  }
}
