import { setTimeout as sleep } from 'node:timers/promises'
import { StorageUnavailable } from '../store/objects.ts'
import { isPassing, translateS3Error } from './s3-errors.ts'

const ATTEMPTS = 5
/**
 * Time limit of a call that neither completes nor falls silent; a part of 64 MiB then needs some 220 kB/s. For reads it
 * applies until the first byte.
 */
const CALL_MS = 5 * 60_000
const FIRST_DELAY_MS = 100

/**
 * Repeats a call until it succeeds or cannot succeed, at most five times, with some two seconds of pauses in all. The
 * SDK's own retries cannot send a stream twice, and take a reply that was cut short for an answer. Stops when `signal` is
 * aborted.
 */
export async function withRetries<Result>(
  call: (signal: AbortSignal) => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      signal?.throwIfAborted()
      return await withinTime(call, signal)
    } catch (error) {
      if (error instanceof StorageUnavailable) throw error
      if (attempt === ATTEMPTS || signal?.aborted || !isPassing(error)) throw translateS3Error(error)
      // With jitter, so that calls that failed together do not come back together.
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
