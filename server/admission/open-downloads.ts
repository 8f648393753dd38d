import type { Response } from 'express'
import { CLIENT_GONE } from '../http/client-gone.ts'
import { Problem } from '../http/errors.ts'

/** Concurrent downloads of one owner's files at a node: a quarter of its connections to a bucket. */
export const MAX_DOWNLOADS_PER_OWNER = 256
const RETRY_SECONDS = 5

/**
 * Limits the downloads of each owner's files, as each holds a connection and memory for as long as its client likes.
 * Files of other owners are not affected.
 */
export class OpenDownloads {
  readonly #open = new Map<string, number>()

  /** Counts the response until its connection is done with it. Fails with `rate-limited`. */
  enter(ownerId: string, response: Response): void {
    // Its client left during the lookup: 'close' is not emitted again.
    if (response.destroyed) throw CLIENT_GONE
    const open = this.#open.get(ownerId) ?? 0
    if (open >= MAX_DOWNLOADS_PER_OWNER) {
      throw new Problem(
        'rate-limited',
        "Too many downloads of this owner's files are already running on this server.",
        { headers: { 'Retry-After': String(RETRY_SECONDS) } },
      )
    }
    this.#open.set(ownerId, open + 1)
    response.once('close', () => this.#leave(ownerId))
  }

  #leave(ownerId: string): void {
    const open = (this.#open.get(ownerId) ?? 1) - 1
    if (open > 0) this.#open.set(ownerId, open)
    else this.#open.delete(ownerId)
  }
}
