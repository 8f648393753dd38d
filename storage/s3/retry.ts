import { setTimeout as sleep } from 'node:timers/promises'
import { StorageUnavailable } from '../store/objects.ts'
import { isPassing, translateS3Error } from './s3-errors.ts'

export type RetryOptions = {
  /** Gives up at once. */
  signal?: AbortSignal
}

const ATTEMPTS = 5
/**
 * A call that is neither answered nor silent, such as a byte every ten seconds, is given up after this long; a part of
 * 64 MiB needs some 220 kB/s for it. Of what is read it counts until the bytes begin.
 */
const CALL_MS = 5 * 60_000
const FIRST_DELAY_MS = 100

/**
 * Makes a call until it succeeds, it is clear that it never will, or it has failed five times: some two
 * seconds of waiting in all. The SDK's own retries cannot send a stream twice and take a reply that was
 * cut short for an answer.
 */
export async function withRetries<Result>(
  call: (signal: AbortSignal | undefined) => Promise<Result>,
  { signal }: RetryOptions,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      signal?.throwIfAborted()
      return await withinTime(call, signal)
    } catch (error) {
      if (error instanceof StorageUnavailable) throw error
      if (attempt === ATTEMPTS || signal?.aborted || !isPassing(error)) throw translateS3Error(error)
      // Up to twice the delay, so that many that failed together do not come back together.
      await sleep(FIRST_DELAY_MS * 2 ** (attempt - 1) * (0.5 + Math.random()))
    }
  }
}

async function withinTime<Result>(
  call: (signal: AbortSignal) => Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), CALL_MS)
  try {
    return await call(signal ? AbortSignal.any([signal, late.signal]) : late.signal)
  } catch (error) {
    throw late.signal.aborted ? new StorageUnavailable({ cause: error }) : error
  } finally {
    clearTimeout(timer)
  }
}
