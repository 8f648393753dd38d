import { setTimeout as sleep } from 'node:timers/promises'
import type { Request, Response } from 'express'
import type { Problem } from './errors.ts'

// tus-js-client, and so Uppy, takes every answer to HEAD except 2xx and 423 to mean that the upload is gone, and begins
// a new one from zero. After 423 it tries again, by `retryDelays`: nine seconds in all by default.

/** Interval of checks whether a dependency is available again. */
const LOOK_AGAIN_MS = 500
/**
 * How long a HEAD is held during an outage. The four tries of tus-js-client then last for half a minute and more;
 * proxies wait long enough for a response.
 */
const HOLD_MS = 10_000
const RETRY_AFTER_SECONDS = 5

/** Whether a problem of this status is temporary. */
const isPassing = (status: number): boolean => status >= 500 || status === 429 || status === 408

const isHead = (request: Pick<Request, 'method' | 'headers'>): boolean =>
  request.method === 'HEAD' && request.headers['tus-resumable'] !== undefined

/** Status and `Retry-After` of a problem for this request. */
export function statusFor(
  problem: Pick<Problem, 'status' | 'headers'>,
  request: Pick<Request, 'method' | 'headers'>,
): { status: number; headers: Readonly<Record<string, string>> } {
  const { status, headers } = problem
  if (!isHead(request) || !isPassing(status)) return { status, headers }
  return { status: 423, headers: { 'Retry-After': String(RETRY_AFTER_SECONDS), ...headers } }
}

export type HeldAnswer = {
  /** Answers the request, or throws. */
  answer: () => Promise<void>
  /** Whether a dependency of the answer is unavailable. */
  isUnavailable: (error: unknown) => boolean
  /** Checks that dependency; throws while it is unavailable. */
  check: () => Promise<unknown>
}

/**
 * Answers a request of tus 1.0. A HEAD that fails by an outage is answered when that is over, after at most `HOLD_MS`,
 * unless the client leaves. Throws what the last try threw.
 */
export async function holdHeadUntilAvailable(
  request: Request,
  response: Response,
  held: HeldAnswer,
): Promise<void> {
  const deadline = performance.now() + HOLD_MS
  const isOver = () => performance.now() + LOOK_AGAIN_MS > deadline || response.closed
  for (;;) {
    try {
      return await held.answer()
    } catch (error) {
      if (!isHead(request) || !held.isUnavailable(error)) throw error
      while (!(await isAvailableAgain(held))) if (isOver()) throw error
      if (isOver()) throw error
    }
  }
}

/** After a pause. */
async function isAvailableAgain({ check, isUnavailable }: HeldAnswer): Promise<boolean> {
  await sleep(LOOK_AGAIN_MS)
  try {
    await check()
    return true
  } catch (error) {
    return !isUnavailable(error)
  }
}
