import type { Request, Response } from 'express'
import { TurnRefused, Turns } from '../../ledger/turns.ts'
import { principalOf } from '../auth/authenticate.ts'
import { CLIENT_GONE } from '../http/client-gone.ts'
import { Problem } from '../http/errors.ts'
import type { Prepare } from '../http/layer.ts'

/** Concurrent requests of one owner while no other owner is active. */
const ALONE = 16
/**
 * Concurrent requests of one owner while others are active: each of theirs waits for this many. A request that waits
 * for a lease, bytes, a storage or a reader does not count (`endTurn`).
 */
const BESIDE_OTHERS = 1
/** Longest rest between two requests of one owner, in milliseconds: requests of others may be waiting. */
const REST_MS = 50
/** An owner with a request within this time is active. */
const RECENT_MS = 1000
/** Waiting requests per owner. */
const MAX_WAITING = 1000
/** After this time received bytes are recorded without a turn. */
const RECORD_AFTER_MS = 5000
/** A thousand concurrent appends of one owner take longer than ten seconds on a busy machine. */
const MAX_WAIT_MS = 30_000

/**
 * Requests of one owner wait for each other, and not for other owners: however many one owner sends, the others find
 * the node as if it sent one at a time. A request has its turn while it works on an answer, and not while it waits for
 * its client: the turn ends before a body is read, or a large answer sent (`endTurn`). Received bytes are recorded in
 * another turn (`inNewOwnerTurn`).
 */
export class OwnerTurns {
  readonly #turns = new Turns({
    atOnce: () => (this.#recent.size > 1 ? BESIDE_OTHERS : ALONE),
    maxWaiting: MAX_WAITING,
    maxWaitMs: MAX_WAIT_MS,
    restMs: () => (this.#recent.size > 1 ? REST_MS : 0),
  })
  /** Active owners and their last requests, oldest first. */
  readonly #recent = new Map<string, number>()
  readonly #recordAfterMs: number

  constructor({ recordAfterMs = RECORD_AFTER_MS }: { recordAfterMs?: number } = {}) {
    this.#recordAfterMs = recordAfterMs
  }

  /**
   * Waits for the turn of this owner, unless the request has had one. Where too many wait, fails with `rate-limited`, or
   * with `locked` for an existing upload: the only 4xx after which every tus client tries again.
   */
  async enter(request: Request, response: Response, ownerId: string): Promise<void> {
    if (response.locals.endTurn) return
    // Nobody would read the answer.
    if (response.destroyed) throw CLIENT_GONE
    this.#note(ownerId)
    // The owner was not known until now; the time until then counts for the turn.
    const beforeMs = performance.now() - arrivedAt(response)
    const end =
      this.#turns.enterNow(ownerId, beforeMs) ?? (await this.#wait(request, response, ownerId, beforeMs))
    response.locals.endTurn = end
    response.locals.turns = this
    response.once('close', end)
    // With the call of `end`, and not when it is sent, which may wait for an earlier response that is read slowly.
    const send = response.end
    response.end = ((...args: Parameters<typeof send>) => {
      end()
      return Reflect.apply(send, response, args)
    }) as typeof send
    // The client may have left at this moment.
    if (!response.destroyed) return
    end()
    throw CLIENT_GONE
  }

  /** Runs work in a turn of its own; without one where that takes too long. */
  async again<Result>(ownerId: string, work: () => Promise<Result>): Promise<Result> {
    const end =
      this.#turns.enterNow(ownerId) ??
      (await this.#turns.enter(ownerId, AbortSignal.timeout(this.#recordAfterMs)).catch(() => undefined))
    try {
      return await work()
    } finally {
      end?.()
    }
  }

  async #wait(request: Request, response: Response, ownerId: string, beforeMs: number): Promise<() => void> {
    const left = new AbortController()
    const leave = () => left.abort(CLIENT_GONE)
    response.once('close', leave)
    try {
      return await this.#turns.enter(ownerId, left.signal, beforeMs)
    } catch (error) {
      throw error instanceof TurnRefused ? tooMany(request, this.#turns.waitedMs(ownerId)) : error
    } finally {
      response.off('close', leave)
    }
  }

  #note(ownerId: string): void {
    const now = performance.now()
    this.#recent.delete(ownerId)
    this.#recent.set(ownerId, now)
    for (const [longestAgo, at] of this.#recent) {
      if (at > now - RECENT_MS) return
      this.#recent.delete(longestAgo)
    }
  }
}

/** Records when a request arrived. Comes before all middleware that takes time. */
export const recordArrival: Prepare = (_request, response) => {
  response.locals.arrivedAt = performance.now()
}

const arrivedAt = ({ locals }: Response): number => locals.arrivedAt ?? performance.now()

/** The request waits for its client from here on: the owner's next request may begin. May be called more than once. */
export function endTurn(response: Response): void {
  const { endTurn: end }: { endTurn?: () => void } = response.locals
  end?.()
}

/**
 * Runs work after the request has waited for its client, in another turn of its owner. The client may have left.
 * Without a turn where the request never had one.
 */
export async function inNewOwnerTurn<Result>(
  response: Response,
  work: () => Promise<Result>,
): Promise<Result> {
  endTurn(response)
  const { turns }: { turns?: OwnerTurns } = response.locals
  return turns ? await turns.again(principalOf(response).ownerId, work) : await work()
}

function tooMany({ path }: Request, waitedMs: number): Problem {
  const isOfUpload = /^\/files\/./.test(path)
  return new Problem(
    isOfUpload ? 'locked' : 'rate-limited',
    'Too many of your requests are already waiting on this server.',
    // The next one has waited this long: those that wait now are done after about as long.
    { headers: { 'Retry-After': String(Math.max(1, Math.ceil(waitedMs / 1000))) } },
  )
}
