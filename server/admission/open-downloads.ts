import type { Response } from 'express'
import { CLIENT_GONE } from '../http/client-gone.ts'
import { Problem } from '../http/errors.ts'

/** Downloads of one owner's files that a node serves at a time: a quarter of the connections it has to a bucket. */
export const MAX_DOWNLOADS_PER_OWNER = 256
const RETRY_SECONDS = 5

/**
 * Downloads may take as long as their clients like, and each holds a connection and memory for as long. Those of one
 * owner's files, by whomever, are therefore counted: beyond 256 at a node, files of others find as much as before.
 */
export class OpenDownloads {
  readonly #open = new Map<string, number>()

  /** Counts the answer until its connection is done with it. Fails with `rate-limited`. */
  enter(ownerId: string, response: Response): void {
    // Its client has left while it was looked up: it says so no second time, and would be counted for ever.
    if (response.destroyed) throw CLIENT_GONE
    const open = this.#open.get(ownerId) ?? 0
    if (open >= MAX_DOWNLOADS_PER_OWNER) {
      throw new Problem(
        'rate-limited',
        "Too many downloads of this owner's files are already running on this server.",
        {
          headers: { 'Retry-After': String(RETRY_SECONDS) },
        },
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
