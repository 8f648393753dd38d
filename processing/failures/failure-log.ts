import { databaseOutage, isNetworkError } from '../../ledger/outages.ts'
import { DatabaseReadOnly } from '../../ledger/ping.ts'
import { TurnRefused } from '../../ledger/turns.ts'
import { StorageFull, StorageUnavailable } from '../../storage/store/objects.ts'
import { RetryLater } from './job-failures.ts'
import type { WorkerLog } from './worker-log.ts'

/** A job of which an attempt has failed. `retryCount`: attempts before this one; the last has that of `retryLimit`. */
export type FailedJob = { id: string; name: string; data: object; retryCount: number; retryLimit: number }

const WINDOW_MS = 60_000
/** Lines per queue and minute: one fault often fails every job of a queue. */
const MAX_LINES = 20

/**
 * Logs failed attempts at jobs: of one job the first, second, fourth, eighth and so on, and the last; of one queue at
 * most 20 lines a minute, besides jobs that have failed permanently. What was withheld is counted.
 */
export class FailureLog {
  readonly #log: Pick<WorkerLog, 'warn' | 'error'>
  readonly #windows = new Map<string, { lines: number; withheld: number; timer?: NodeJS.Timeout }>()

  constructor(log: Pick<WorkerLog, 'warn' | 'error'>) {
    this.#log = log
  }

  record(job: FailedJob, error: unknown): void {
    const attempt = job.retryCount + 1
    const isGivenUp = job.retryLimit > 0 && attempt > job.retryLimit
    const isPowerOfTwo = Number.isInteger(Math.log2(attempt))
    if (!isGivenUp && !(isPowerOfTwo && this.#hasRoom(job.name))) return
    const details = { queue: job.name, id: job.id, attempt, ...subjectOf(job.data), err: error }
    if (isGivenUp) this.#log.error(details, 'a job has failed permanently')
    else if (isOutage(error)) this.#log.warn(details, 'a job could not be done: a dependency is unavailable')
    else this.#log.error(details, 'a job has failed')
  }

  /** Logs what was withheld so far. */
  close(): void {
    for (const queue of this.#windows.keys()) this.#endWindow(queue)
  }

  #hasRoom(queue: string): boolean {
    let window = this.#windows.get(queue)
    if (!window) {
      window = { lines: 0, withheld: 0 }
      this.#windows.set(queue, window)
      window.timer = setTimeout(() => this.#endWindow(queue), WINDOW_MS).unref()
    }
    if (window.lines < MAX_LINES) window.lines += 1
    else window.withheld += 1
    return window.withheld === 0
  }

  #endWindow(queue: string): void {
    const { withheld = 0, timer } = this.#windows.get(queue) ?? {}
    clearTimeout(timer)
    this.#windows.delete(queue)
    if (withheld > 0) this.#log.error({ queue, jobs: withheld }, 'more jobs of this queue have failed')
  }
}

/** The ids of a job, under the names that other log lines use. */
function subjectOf(data: object): object {
  return {
    ...('mediaId' in data ? { mediaId: data.mediaId } : {}),
    ...('uploadId' in data ? { uploadId: data.uploadId } : {}),
  }
}

/**
 * Whether a dependency is unavailable and the job itself is fine. Several failures, or a chain of causes, must all be
 * outages.
 */
function isOutage(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(isOutage)
  return (
    error instanceof StorageUnavailable ||
    error instanceof StorageFull ||
    error instanceof RetryLater ||
    error instanceof TurnRefused ||
    error instanceof DatabaseReadOnly ||
    isNetworkError(error) ||
    databaseOutage(error) !== undefined ||
    (error instanceof Error && error.cause !== undefined && isOutage(error.cause))
  )
}
