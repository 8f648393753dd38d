import type { Request, RequestHandler, Response } from 'express'
import { TurnRefused, Turns } from '../../ledger/turns.ts'
import { principalOf } from '../auth/authenticate.ts'
import { CLIENT_GONE } from '../http/client-gone.ts'
import { Problem } from '../http/errors.ts'

/** Requests of one owner that a node works on at a time while nobody else asks for anything. */
const ALONE = 16
/**
 * While others do. Each of the others' requests waits behind so many of this owner's. One that waits for a lease, for
 * bytes, for a storage or for a reader is none of them (`endTurn`).
 */
const BESIDE_OTHERS = 1
/** Longest pause between two of this owner's requests, in milliseconds: a request of the others may be waiting itself. */
const REST_MS = 50
/** Who has asked for something within this time is somebody else. */
const RECENT_MS = 1000
/** Requests of one owner that wait for that, at most. */
const MAX_WAITING = 1000
/** Bytes that have arrived are not lost because a turn does not come: they are recorded without one after this time. */
const RECORD_AFTER_MS = 5000
/** A thousand appends of one owner that begin at once take longer than ten seconds on a busy machine. */
const MAX_WAIT_MS = 30_000

/**
 * Requests of one owner wait for each other, and for nobody else's: however many one owner sends, the others find the
 * node as if the owner sent one at a time. A request has its turn while it works on an answer. It waits for no client in
 * it: the turn ends before a body is read, or an answer sent, that may take its time (`endTurn`). What has arrived of a
 * body is recorded in another turn (`inNewOwnerTurn`).
 */
export class OwnerTurns {
  readonly #turns = new Turns({
    atOnce: () => (this.#recent.size > 1 ? BESIDE_OTHERS : ALONE),
    maxWaiting: MAX_WAITING,
    maxWaitMs: MAX_WAIT_MS,
    restMs: () => (this.#recent.size > 1 ? REST_MS : 0),
  })
  /** Who has asked for something lately, and when; the longest ago first. */
  readonly #recent = new Map<string, number>()
  readonly #recordAfterMs: number

  constructor({ recordAfterMs = RECORD_AFTER_MS }: { recordAfterMs?: number } = {}) {
    this.#recordAfterMs = recordAfterMs
  }

  /**
   * `authenticate`, and then the turn of the owner it found. Where too many wait, fails with `rate-limited`, or with
   * `locked` for an upload that is there: that is the only 4xx after which every tus client comes back to it.
   */
  after(authenticate: RequestHandler): RequestHandler {
    const enter = (request: Request, response: Response) =>
      this.enter(request, response, principalOf(response).ownerId)
    return async function authenticateInTurn(request, response, next) {
      let refused: unknown
      await authenticate(request, response, (error?: unknown) => {
        refused = error
      })
      if (refused !== undefined) return next(refused)
      await enter(request, response)
      next()
    }
  }

  /** Waits for the turn of this owner, unless the request has had one. Fails as is said above. */
  async enter(request: Request, response: Response, ownerId: string): Promise<void> {
    if (response.locals.endTurn) return
    // Nobody would read the answer.
    if (response.destroyed) throw CLIENT_GONE
    this.#note(ownerId)
    // Who it is from was not known until now; what it took until then is the owner's as well.
    const beforeMs = performance.now() - arrivedAt(response)
    const end =
      this.#turns.enterNow(ownerId, beforeMs) ?? (await this.#wait(request, response, ownerId, beforeMs))
    response.locals.endTurn = end
    response.locals.turns = this
    response.once('close', end)
    // With the answer, and not when it is sent: it may have to wait for one that its client reads slowly.
    response.end = new Proxy(response.end, {
      apply(send, self, args) {
        end()
        return Reflect.apply(send, self, args)
      },
    })
    // It may have gone in the moment in which its turn came.
    if (!response.destroyed) return
    end()
    throw CLIENT_GONE
  }

  /** Does work of this owner in a turn of its own; without one where that takes long. */
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

/** Notes when a request arrived. Stands in front of everything that takes its time. */
export const recordArrival: RequestHandler = (_request, response, next) => {
  response.locals.arrivedAt = performance.now()
  next()
}

const arrivedAt = ({ locals }: Response): number => locals.arrivedAt ?? performance.now()

/** From here on the request waits for its client: the next of its owner may begin. May be called more than once. */
export function endTurn(response: Response): void {
  const { endTurn: end }: { endTurn?: () => void } = response.locals
  end?.()
}

/**
 * What a request does after it has waited for its client: in another turn of its owner's, which ends with it. The client
 * may have gone. Without a turn where the request never had one.
 */
export async function inNewOwnerTurn<Result>(
  response: Response,
  work: () => Promise<Result>,
): Promise<Result> {
  endTurn(response)
  const { turns }: { turns?: OwnerTurns } = response.locals
  return turns ? await turns.again(principalOf(response).ownerId, work) : await work()
}

function tooMany({ baseUrl, path }: Request, waitedMs: number): Problem {
  const isOfUpload = baseUrl === '/files' && path !== '/'
  return new Problem(
    isOfUpload ? 'locked' : 'rate-limited',
    'Too many of your requests are already waiting on this server.',
    // So long has the next one waited: those that wait now are through after about that time.
    { headers: { 'Retry-After': String(Math.max(1, Math.ceil(waitedMs / 1000))) } },
  )
}
