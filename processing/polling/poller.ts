import { setTimeout as sleep } from 'node:timers/promises'
import { fromKysely, type JobWithMetadata, type PgBoss } from 'pg-boss'
import { Shares } from '../../jobs/shares.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { FailureLog } from '../failures/failure-log.ts'
import { Alarm } from './alarm.ts'

/** A job that this process is working on. */
export type TakenJob<Data> = Pick<
  JobWithMetadata<Data>,
  'id' | 'name' | 'data' | 'priority' | 'retryCount' | 'retryLimit' | 'groupId'
> & {
  /** Aborted when another worker has taken over the job, or it has taken longer than its queue allows. */
  signal: AbortSignal
}

/** A job to be done later. That is no failed attempt, and the job keeps its position in the queue. */
export type PutBackJob<Data> = { data: Data; afterMs: number }

export type PollerOptions<Data> = {
  db: Ledger
  boss: PgBoss
  /**
   * In order of priority: a job of a later queue is taken only where earlier ones are empty. `most` limits the jobs of
   * one queue at a time.
   */
  queues: readonly { name: string; most?: number }[]
  /** Jobs at a time. */
  slots: number
  /** How often the queues are polled without a notification; undefined: never. */
  pollMs: number | undefined
  /** An error counts as a failed attempt. */
  handle: (job: TakenJob<Data>) => Promise<PutBackJob<Data> | undefined>
  /** Called with the jobs that were taken, before they are started. */
  onTaken?: (jobs: readonly TakenJob<Data>[]) => void
  /** Called when a job is done and recorded as done. */
  onDone?: (job: TakenJob<Data>) => Promise<void>
  /** Called for every failed attempt before the queue is told: nothing else logs the reason. */
  failures: Pick<FailureLog, 'record'>
  /** Called when an attempt has failed: the job is retried, or has failed permanently. */
  onFailed?: () => void
  onError: (error: unknown) => void
}

/** A job without a heartbeat for 15 s (`createQueues`) is taken over. */
const HEARTBEAT_MS = 5_000
/** Polling interval while jobs are known that will be due soon: retries, and jobs that were put back. */
const QUICK_MS = 2_000
/** How long after a failed attempt it is used. */
const RETRY_MS = 60_000
/** Pause after the database did not answer. */
const AWAY_MS = 2_000

/**
 * One loop for a kind of job: it takes as many as there are free slots and as its owner's share allows, when it is
 * notified, when a job has ended and more may wait, and every `pollMs`. An idle one costs one statement per queue and
 * poll, however many slots it has; pg-boss's own workers cost one per slot.
 */
export class Poller<Data extends object> {
  readonly #options: PollerOptions<Data>
  readonly #alarm = new Alarm()
  readonly #running = new Map<string, Running<Data>>()
  readonly #shares: Shares
  readonly #loop: Promise<void>
  #heartbeat: NodeJS.Timeout | undefined
  /** The last poll filled all free slots, or there were none: more jobs may wait. */
  #mayHaveMore = false
  /** When the next job that was put back is due; on the clock of `performance.now()`. */
  #dueAt = Number.POSITIVE_INFINITY
  #quickUntil = 0
  #isClosing = false

  constructor(options: PollerOptions<Data>) {
    this.#options = options
    this.#shares = new Shares(options.slots)
    this.#loop = this.#run()
  }

  /** Polls now: all queues, or none where `queue` is not among its own. */
  wake(queue?: string): void {
    if (queue === undefined || this.#options.queues.some(({ name }) => name === queue)) this.#alarm.ring()
  }

  /** Takes no more jobs and waits `graceMs` for running ones; those left count as failed attempts. */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true
    this.#alarm.ring()
    await this.#loop
    const ended = Promise.all([...this.#running.values()].map(({ ended }) => ended))
    await Promise.race([ended, sleep(graceMs, undefined, { ref: false })])
    clearInterval(this.#heartbeat)
    for (const { job, controller } of this.#running.values()) {
      controller.abort(new Error('the worker has stopped'))
      await this.#fail(job, new Error('the worker stopped while it was at the job'))
    }
  }

  async #run(): Promise<void> {
    while (!this.#isClosing) {
      let waitMs: number | undefined = AWAY_MS
      try {
        await this.#look()
        waitMs = this.#untilNextLook()
      } catch (error) {
        this.#options.onError(error)
      }
      if (!this.#isClosing) await this.#alarm.within(waitMs)
    }
  }

  async #look(): Promise<void> {
    const { boss, queues, slots, onTaken } = this.#options
    const now = performance.now()
    if (now >= this.#dueAt) this.#dueAt = Number.POSITIVE_INFINITY
    this.#mayHaveMore = false
    for (const { name, most = slots } of queues) {
      for (let hasMore = true; hasMore; ) {
        const inQueue = [...this.#running.values()].filter(({ job }) => job.name === name).length
        const room = Math.min(slots - this.#running.size, most - inQueue)
        if (room <= 0) {
          this.#mayHaveMore = true
          break
        }
        const ignoreGroups = this.#shares.full()
        const batchSize = Math.min(room, this.#shares.atOnce)
        const jobs = await boss.fetch<Data>(name, { batchSize, includeMetadata: true, ignoreGroups })
        onTaken?.(jobs)
        for (const job of jobs) this.#start(job)
        hasMore = jobs.length === batchSize
        // Jobs that were left for the sake of other owners may be taken when a job has ended.
        if (ignoreGroups.length > 0) this.#mayHaveMore = true
      }
    }
  }

  #untilNextLook(): number | undefined {
    const { pollMs } = this.#options
    const now = performance.now()
    const floorMs = now < this.#quickUntil ? Math.min(QUICK_MS, pollMs ?? QUICK_MS) : pollMs
    if (this.#dueAt === Number.POSITIVE_INFINITY) return floorMs
    return Math.min(Math.max(0, this.#dueAt - now), floorMs ?? Number.POSITIVE_INFINITY)
  }

  #start(job: JobWithMetadata<Data>): void {
    const controller = new AbortController()
    const taken: TakenJob<Data> = { ...job, signal: controller.signal }
    this.#shares.take(job.id, job.groupId)
    const ended = this.#work(taken, job, controller).finally(() => {
      this.#running.delete(job.id)
      this.#shares.giveBack(job.id)
      if (this.#running.size === 0) {
        clearInterval(this.#heartbeat)
        this.#heartbeat = undefined
      }
      if (this.#mayHaveMore) this.#alarm.ring()
    })
    this.#running.set(job.id, { job: taken, controller, ended })
    this.#heartbeat ??= setInterval(() => void this.#beat(), HEARTBEAT_MS)
  }

  async #work(taken: TakenJob<Data>, job: JobWithMetadata<Data>, controller: AbortController): Promise<void> {
    const { handle, onDone, onError } = this.#options
    const expired = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      const error = new Error(`the job took longer than ${job.expireInSeconds} s`)
      controller.abort(error)
      expired.reject(error)
    }, job.expireInSeconds * 1000)
    try {
      let putBack: PutBackJob<Data> | undefined
      try {
        putBack = await Promise.race([handle(taken), expired.promise])
      } catch (error) {
        await this.#fail(taken, error)
        return
      }
      if (putBack) await this.#putBack(job, putBack)
      else {
        await this.#options.boss.complete(job.name, attemptOf(job))
        await onDone?.(taken)
      }
    } catch (error) {
      // It misses its heartbeat, is taken over, and is done again.
      onError(error)
    } finally {
      clearTimeout(timer)
    }
  }

  async #fail(job: TakenJob<Data>, error: unknown): Promise<void> {
    this.#options.failures.record(job, error)
    this.#quickUntil = performance.now() + RETRY_MS
    const output = error instanceof Error ? { name: error.name, message: error.message } : { error }
    try {
      await this.#options.boss.fail(job.name, attemptOf(job), output)
      this.#options.onFailed?.()
    } catch (failure) {
      this.#options.onError(failure)
    }
  }

  /** In one transaction, so that the job exists exactly once, unless another worker has taken it over. */
  async #putBack(job: JobWithMetadata<Data>, { data, afterMs }: PutBackJob<Data>): Promise<void> {
    const { boss, db } = this.#options
    await db.transaction().execute(async (trx) => {
      const settling = { db: fromKysely(trx) }
      if (settledBy(await boss.complete(job.name, attemptOf(job), null, settling)).size === 0) return
      const { priority, singletonKey, groupId } = job
      const group = groupId ? { group: { id: groupId } } : {}
      const again = { data, priority, ...group, ...(singletonKey === null ? {} : { singletonKey }) }
      // A number of seconds is counted by the clock of the database.
      await boss.insert(job.name, [{ ...again, startAfter: afterMs / 1000 }], settling)
    })
    const dueAt = performance.now() + afterMs
    this.#dueAt = Math.min(this.#dueAt, dueAt)
    this.#quickUntil = Math.max(this.#quickUntil, dueAt + QUICK_MS)
    this.#alarm.ring()
  }

  /** One statement for each queue that has jobs here. */
  async #beat(): Promise<void> {
    for (const { name } of this.#options.queues) {
      const held = [...this.#running.values()].filter(
        ({ job, controller }) => job.name === name && !controller.signal.aborted,
      )
      if (held.length === 0) continue
      try {
        const alive = settledBy(
          await this.#options.boss.touch(
            name,
            held.map(({ job }) => attemptOf(job)),
          ),
        )
        for (const { job, controller } of held) {
          // A job that has ended in the meantime is not active either, and nobody listens to its signal.
          if (!alive.has(job.id)) controller.abort(new Error('another worker has taken over the job'))
        }
      } catch (error) {
        // Nothing is known about the jobs.
        this.#options.onError(error)
      }
    }
  }
}

type Running<Data> = { job: TakenJob<Data>; controller: AbortController; ended: Promise<void> }

/** Identifies one attempt, so that a later attempt by another worker is not changed. */
const attemptOf = ({ id, retryCount }: { id: string; retryCount: number }) => ({ id, retryCount })

/** Ids of the jobs that a call has changed, which pg-boss returns but does not declare. */
function settledBy(answer: object): ReadonlySet<unknown> {
  return new Set('settled' in answer && Array.isArray(answer.settled) ? answer.settled : [])
}
