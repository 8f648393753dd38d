import { setTimeout as sleep } from 'node:timers/promises'
import type { Job, PgBoss } from 'pg-boss'
import type { Bus } from '../ledger/bus.ts'
import { isNeededByFinal } from '../ledger/concatenation.ts'
import { failMedia, type MediaRow } from '../ledger/media.ts'
import { findRemoval, forgetRenditions } from '../ledger/removal.ts'
import { lastAttempt } from '../ledger/steps.ts'
import { RENDITION_NAMES, renditionKey } from '../storage/keys.ts'
import { type Lane, Lanes } from './lanes.ts'
import { processMedia } from './pipeline.ts'
import {
  enqueueSteps,
  isBeingProcessed,
  type JobKind,
  type ProcessingJob,
  processingEnqueuer,
  QUEUES,
  type RemovalJob,
  removalEnqueuer,
} from './queues.ts'
import { reap } from './reaper.ts'
import type { Tools } from './step.ts'
import { Waiting } from './verdict.ts'

/** How many at a time: files on their way to being ready, and of these how many in each lane; jobs of the other kinds. */
export type Concurrency = Readonly<Record<JobKind | Lane, number>>

export type WorkerOptions = {
  boss: PgBoss
  bus: Bus
  tools: Omit<Tools, 'announce' | 'enqueueProcessing'>
  concurrency: Concurrency
  /** How long a deleted media keeps its bytes. */
  retentionMs: number
  log: {
    info(details: object, message: string): void
    warn(details: object, message: string): void
    error(details: object, message: string): void
  }
}

export type Worker = { close(): Promise<void> }

/** How often the queue is asked without being told of a job: the floor under lost notifications. */
const POLL_SECONDS = 2
/**
 * A file that waits for something that is away is looked at again after this long, doubling up to the second. By as
 * much as the fraction it may be longer, so that what waited together does not come back together.
 */
const FIRST_WAIT_MS = 1_000
const MAX_WAIT_MS = 30_000
const WAIT_JITTER = 0.25
/** What is away may ask for longer waits, up to this. */
const MAX_ASKED_WAIT_MS = 5 * 60_000
/** When a public copy is removed again that may have been made meanwhile. */
const AGAIN_SECONDS = 5
/** When the bytes of a partial upload are looked at again that a concatenation needs; the end of that removes them. */
const NEEDED_SECONDS = 15 * 60
const STOP_MS = 10_000
/** Every minute; one worker of all gets the job. */
const REAP_CRON = '* * * * *'

/** Works off the queues until it is closed. Notifications of the ledger wake it; nothing depends on them. */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const { boss, bus, log } = options
  const stopping = new AbortController()
  const tools: Tools = {
    ...options.tools,
    announce: (id) => void bus.publish({ t: 'event', id }),
    enqueueProcessing: processingEnqueuer(boss),
  }
  const pipeline = {
    tools,
    lanes: new Lanes(options.concurrency),
    onStep: (id: string, step: string) => void bus.publish({ t: 'step', id, step }),
    enqueueRemoval: removalEnqueuer(boss),
    async handOver(kind: JobKind, { id, size, upload_id, created_at }: MediaRow) {
      await enqueueSteps(boss, kind, { mediaId: id, size, since: created_at.getTime() })
      // Nobody waits at the queue all the time.
      tools.announce(upload_id)
    },
  }

  async function process(kind: JobKind, { data, signal }: Job<ProcessingJob>): Promise<void> {
    const { mediaId: id, waits = 0 } = data
    try {
      await processMedia(pipeline, { id, kind, signal: AbortSignal.any([signal, stopping.signal]) })
    } catch (error) {
      if (stopping.signal.aborted) {
        // Handed back, not failed: the next worker goes on at once.
        await enqueueSteps(boss, kind, data)
        return
      }
      if (!(error instanceof Waiting)) {
        log.error({ err: error, mediaId: id }, 'processing failed and will be tried again')
        throw error
      }
      const backoffMs = Math.min(FIRST_WAIT_MS * 2 ** waits, MAX_WAIT_MS)
      const askedMs = Math.min(error.afterMs ?? 0, MAX_ASKED_WAIT_MS)
      const waitMs = Math.max(backoffMs, askedMs) * (1 + WAIT_JITTER * Math.random())
      log.warn({ mediaId: id, waitMs: Math.round(waitMs), err: error.cause }, error.message)
      await enqueueSteps(boss, kind, { ...data, waits: Math.min(waits + 1, 16) }, { startAfterMs: waitMs })
    }
  }

  async function giveUp({ data: { mediaId, kind = 'processing' } }: Job<ProcessingJob>): Promise<void> {
    const last = await lastAttempt(tools.db, mediaId)
    if (kind !== 'processing') {
      // Its file is ready without it, or waits for the engine's time to be over.
      log.error({ mediaId, kind, last }, 'a job beside processing was given up')
      return
    }
    const reason = {
      code: 'processing-failed',
      detail: `The file could not be processed, for reasons that lie with this server${last ? ` (in the step ${last.step})` : ''}.`,
    }
    const uploadId = await failMedia(tools.db, mediaId, reason, pipeline.enqueueRemoval)
    // One that is still "running" ended its worker every time.
    log.error({ mediaId, last }, 'processing was given up')
    if (uploadId) tools.announce(uploadId)
  }

  async function remove({ data }: Job<RemovalJob>): Promise<void> {
    const { db, objects, bytes } = tools
    const removal = await findRemoval(db, data.uploadId)
    if (!removal) return
    const { isWhole, media, publishedKey } = removal
    if (isWhole && (await isNeededByFinal(db, data.uploadId))) {
      await boss.send(QUEUES.removal, data, { startAfter: NEEDED_SECONDS })
      return
    }
    const keys = new Set(removal.renditionKeys)
    // What was stored and never recorded goes as well.
    if (isWhole && media) for (const name of RENDITION_NAMES) keys.add(renditionKey(media, name))
    for (const key of keys) await objects.remove(key)
    if (publishedKey !== undefined) await objects.removeCopy(publishedKey)
    if (isWhole) await bytes.discard(data.uploadId)
    if (media && (isWhole || publishedKey !== undefined) && (await isBeingProcessed(boss, media.id))) {
      // A worker may be storing a rendition or the public copy at this moment, and not live to take it back.
      await boss.send(QUEUES.removal, data, { startAfter: AGAIN_SECONDS })
      return
    }
    await forgetRenditions(db, data.uploadId)
  }

  async function sweep({ data }: Job<RemovalJob>): Promise<void> {
    await tools.bytes.sweep(data.uploadId)
  }

  async function reapAll(): Promise<void> {
    const { announce, db } = tools
    const reaped = await reap({ db, boss, retentionMs: options.retentionMs, announce }).catch((error) => {
      log.error({ err: error }, 'the reaper could not do all of its work')
      throw error
    })
    if (Object.values(reaped).some((count) => count > 0)) log.info(reaped, 'reaped')
  }

  const workers: string[] = []
  async function work<Data extends object>(
    queue: string,
    handle: (job: Job<Data>) => Promise<void>,
  ): Promise<void> {
    const id: string = await boss.work<Data>(
      queue,
      { pollingIntervalSeconds: POLL_SECONDS },
      async ([job]) => {
        try {
          if (job) await handle(job)
        } finally {
          // There may be more: look at once instead of at the next poll.
          boss.notifyWorker(id)
        }
      },
    )
    workers.push(id)
  }

  for (const kind of ['processing', 'analysis', 'transcoding'] as const) {
    for (let i = 0; i < options.concurrency[kind]; i++)
      await work<ProcessingJob>(QUEUES[kind], (job) => process(kind, job))
  }
  await work<ProcessingJob>(QUEUES.dead, giveUp)
  await work<RemovalJob>(QUEUES.removal, remove)
  await work<RemovalJob>(QUEUES.sweeping, sweep)
  await work(QUEUES.reaping, reapAll)
  await boss.schedule(QUEUES.reaping, REAP_CRON)

  const unsubscribe = bus.onMessage((message) => {
    if (message.t === 'event') for (const id of workers) boss.notifyWorker(id)
  })

  return {
    async close() {
      unsubscribe()
      stopping.abort()
      // The handlers hand back what they are at, which takes no time; pg-boss would look only every half second.
      const idle = Promise.all(Object.values(QUEUES).map((queue) => boss.offWork(queue)))
      await Promise.race([idle, sleep(STOP_MS, undefined, { ref: false })])
      await boss.stop({ close: false, graceful: false })
    },
  }
}
