import { totalmem } from 'node:os'
import type { Config } from '../config.ts'
import { Problem } from '../http/errors.ts'

/** Memory of an append on disk storage while its client is slow: its request, its socket and their buffers. */
const APPEND_BYTES = 128 * 1024
/**
 * On S3 an append gathers in blocks of the memory budget, of which at least half is for blocks: one block each at
 * least.
 */
const BLOCK_BYTES = 256 * 1024
/**
 * Appends for each pooled connection. One takes some four statements from beginning to end, and all together one every
 * three seconds, which renews their leases.
 */
const APPENDS_A_CONNECTION = 1000
const RETRY_AFTER_SECONDS = 5

/** How many appends this process can serve at a time, by its memory and its database connections. */
export function maxAppends(
  config: Pick<Config, 'STORAGE' | 'S3_MEMORY_BUDGET' | 'DATABASE_POOL'>,
  memoryBytes = Math.min(totalmem(), process.constrainedMemory() || totalmem()),
): number {
  const byMemory =
    config.STORAGE === 's3' ? config.S3_MEMORY_BUDGET / 2 / BLOCK_BYTES : memoryBytes / 2 / APPEND_BYTES
  return Math.max(2, Math.floor(Math.min(byMemory, config.DATABASE_POOL * APPENDS_A_CONNECTION)))
}

/**
 * Admits as many appends as the node can finish, and of one owner half of them. Others are refused before they hold
 * anything.
 */
export class Appends {
  readonly most: number
  readonly #maxOfOwner: number
  readonly #runningByOwner = new Map<string, number>()
  #running = 0
  #refused = 0

  constructor(most: number) {
    this.most = most
    this.#maxOfOwner = Math.max(1, Math.floor(most / 2))
  }

  get running(): number {
    return this.#running
  }

  /** Since the process began. */
  get refused(): number {
    return this.#refused
  }

  /** Runs an append of this owner. Fails with `unavailable` before it begins, where too many are running. */
  async run<Result>(ownerId: string, work: () => Promise<Result>): Promise<Result> {
    const running = this.#runningByOwner.get(ownerId) ?? 0
    if (this.#running >= this.most || running >= this.#maxOfOwner) {
      this.#refused += 1
      throw new Problem('unavailable', 'The server is already receiving the maximum number of uploads.', {
        headers: { 'Retry-After': String(RETRY_AFTER_SECONDS) },
      })
    }
    this.#running += 1
    this.#runningByOwner.set(ownerId, running + 1)
    try {
      return await work()
    } finally {
      this.#running -= 1
      const left = (this.#runningByOwner.get(ownerId) ?? 1) - 1
      if (left > 0) this.#runningByOwner.set(ownerId, left)
      else this.#runningByOwner.delete(ownerId)
    }
  }
}
