import { setTimeout as sleep } from 'node:timers/promises'
import type { Request, Response } from 'express'
import type { Problem } from './errors.ts'

// tus-js-client, and Uppy with it, take every answer to HEAD but 2xx and 423 to mean that the upload is gone: they
// forget its address and begin a new one from zero. 423 they try again later, by `retryDelays`: nine seconds in all by
// default.

/** Between two looks whether what was away is back. */
const LOOK_AGAIN_MS = 500
/**
 * How long a HEAD is held while something is away. The four tries that tus-js-client makes by default then last for
 * half a minute and more, and proxies wait that long for an answer.
 */
const HOLD_MS = 10_000
const RETRY_AFTER_SECONDS = 5

/** Whether a problem of this status passes by itself. */
const isPassing = (status: number): boolean => status >= 500 || status === 429 || status === 408

const isHead = (request: Pick<Request, 'method' | 'headers'>): boolean =>
  request.method === 'HEAD' && request.headers['tus-resumable'] !== undefined

/** The status by which a client is told of a problem, and since when it should ask again. */
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
  /** Whether something that the answer needs was away. */
  isUnavailable: (error: unknown) => boolean
  /** Asks what the answer needs; throws while that is away. */
  check: () => Promise<unknown>
}

/**
 * Answers a request of tus 1.0. A HEAD that fails because something is away is answered when it is back: that is waited
 * for, up to `HOLD_MS`, unless the client leaves. Throws what the last try threw.
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

/** A while later. */
async function isAvailableAgain({ check, isUnavailable }: HeldAnswer): Promise<boolean> {
  await sleep(LOOK_AGAIN_MS)
  try {
    await check()
    return true
  } catch (error) {
    return !isUnavailable(error)
  }
}
