import type { PgBoss } from 'pg-boss'
import {
  type ErasureJob,
  enqueueSteps,
  isQueueKey,
  type JobKind,
  type ProcessingJob,
  processingEnqueuer,
  QUEUES,
  type RemovalJob,
  removalEnqueuer,
  turnOf,
} from '../jobs/queues.ts'
import type { Bus } from '../ledger/bus.ts'
import { EndLog } from '../ledger/end-log.ts'
import { failMedia, type MediaRow } from '../ledger/media.ts'
import { advanceClock, type Turn, type TurnKind, takeTurn } from '../ledger/processing-turns.ts'
import { beginReprocessing, enqueueReprocessing, requestReprocessing } from '../ledger/reprocessing.ts'
import type { Retention } from '../ledger/retention.ts'
import { lastAttempt } from '../ledger/steps.ts'
import { StrayRemover } from '../storage/moving/remove-strays.ts'
import { eraser } from './erasure.ts'
import { FailureLog } from './failures/failure-log.ts'
import { RetryLater } from './failures/job-failures.ts'
import type { WorkerLog } from './failures/worker-log.ts'
import { processMedia } from './pipeline.ts'
import { Poller, type PollerOptions, type PutBackJob, type TakenJob } from './polling/poller.ts'
import { remover } from './removal.ts'
import { type LimitedResource, ResourceLimits } from './step/resource-limits.ts'
import { ScratchFull } from './step/scratch.ts'
import type { Tools } from './step/step.ts'
import { logStrayFailures, runUpkeep } from './upkeep.ts'

/** How many run at a time: jobs of each kind, and steps that use a limited resource. */
export type Concurrency = Readonly<Record<JobKind | LimitedResource, number>>

export type WorkerOptions = {
  boss: PgBoss
  bus: Bus
  tools: Omit<Tools, 'notifyListeners' | 'enqueueProcessing' | 'ends'>
  concurrency: Concurrency
  /** How long a deleted media item keeps its bytes. */
  retentionMs: number
  /** How long the ledger keeps ended records. */
  retention: Retention
  log: WorkerLog
}

export type Worker = { close(): Promise<void> }

/**
 * A file that waits for an unavailable dependency is retried after this long, doubling up to the second. The fraction
 * is jitter, so that files that waited together do not come back together.
 */
const FIRST_WAIT_MS = 1_000
const MAX_WAIT_MS = 30_000
const WAIT_JITTER = 0.25
/** Limit for the wait that a dependency may ask for. */
const MAX_ASKED_WAIT_MS = 5 * 60_000
/** Uploads whose bytes are removed in parallel. */
const REMOVALS_AT_ONCE = 4
/** Owners who are erased in parallel. */
const ERASURES_AT_ONCE = 2
const STOP_MS = 10_000
const REAP_MS = 60_000

/**
 * Works through the queues until it is closed. Notifications that name a queue wake its poller; nothing depends on
 * them, as every queue is also polled.
 */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const { boss, bus, concurrency, log } = options
  const stopping = new AbortController()
  const tools: Tools = {
    ...options.tools,
    notifyListeners: (id, queue) => void bus.publish({ t: 'event', id, queue: queue ?? null }),
    enqueueProcessing: processingEnqueuer(boss),
    ends: new EndLog(log),
  }
  const pipeline = {
    tools,
    resourceLimits: new ResourceLimits(options.concurrency),
    onStep: (id: string, step: string) => void bus.publish({ t: 'step', id, step }),
    enqueueRemoval: removalEnqueuer(boss),
    async handOver(kind: JobKind, { id, size, upload_id, owner_id: ownerId }: MediaRow) {
      const turn = await takeTurn(tools.db, { kind, ownerId, size })
      await enqueueSteps(boss, kind, { mediaId: id, ownerId, size, turn })
      tools.notifyListeners(upload_id, kind)
    },
  }

  async function process(
    kind: JobKind,
    { data, signal, retryCount, retryLimit }: TakenJob<ProcessingJob>,
  ): Promise<PutBackJob<ProcessingJob> | undefined> {
    const { mediaId: id, waits = 0, roomSince } = data
    try {
      await processMedia(pipeline, {
        ...{ id, kind, roomSince },
        signal: AbortSignal.any([signal, stopping.signal]),
        isLastAttempt: retryCount >= retryLimit,
      })
      return undefined
    } catch (error) {
      // Put back, not failed: the next worker continues at once.
      if (stopping.signal.aborted) return { data, afterMs: 0 }
      if (!(error instanceof RetryLater)) throw error
      const backoffMs = Math.min(FIRST_WAIT_MS * 2 ** waits, MAX_WAIT_MS)
      const askedMs = Math.min(error.afterMs ?? 0, MAX_ASKED_WAIT_MS)
      const waitMs = Math.max(backoffMs, askedMs) * (1 + WAIT_JITTER * Math.random())
      log.warn({ mediaId: id, waitMs: Math.round(waitMs), err: error.cause }, error.message)
      const { roomSince: _, ...rest } = data
      const lacksRoom = error.cause instanceof ScratchFull
      return {
        data: {
          ...rest,
          ...(lacksRoom ? { roomSince: roomSince ?? Date.now() } : {}),
          waits: Math.min(waits + 1, 16),
        },
        afterMs: waitMs,
      }
    }
  }

  /** New files, and those to be processed again. */
  async function processNewOrAgain(
    job: TakenJob<ProcessingJob>,
  ): Promise<PutBackJob<ProcessingJob> | undefined> {
    const { mediaId, since } = job.data
    if (job.name === QUEUES.again) await beginReprocessing(tools.db, mediaId)
    // The previous release had one queue for both, with a job for each request.
    else if (since !== undefined && (await requestReprocessing(tools.db, mediaId, tools.enqueueProcessing)))
      return undefined
    return await process('processing', job)
  }

  const clocks: Partial<Record<TurnKind, Turn>> = {}
  /** Owners who arrive from now on come after the jobs that were taken. */
  function advance(jobs: readonly TakenJob<ProcessingJob>[]): void {
    for (const kind of ['processing', 'again', 'analysis', 'transcoding'] as const) {
      const turns = jobs.filter(({ name }) => name === QUEUES[kind]).map(({ priority }) => turnOf(priority))
      const turn = Math.max(...turns)
      if (turns.length === 0 || turn <= (clocks[kind] ?? 0)) continue
      clocks[kind] = turn
      advanceClock(tools.db, kind, turn).catch((error: unknown) => {
        delete clocks[kind]
        log.error({ err: error }, 'the scheduling clock could not be advanced')
      })
    }
  }

  async function giveUp({
    data: { mediaId, kind = 'processing' },
  }: TakenJob<ProcessingJob>): Promise<undefined> {
    const last = await lastAttempt(tools.db, mediaId)
    if (kind !== 'processing') {
      // The file is ready without it, or waits until the engine's time is over.
      log.error({ mediaId, kind, last }, 'a secondary job has failed permanently')
      return
    }
    const reason = {
      code: 'processing-failed',
      detail: `The file could not be processed because of a failure on the server side${last ? ` (in the step ${last.step})` : ''}.`,
    }
    const uploadId = await failMedia(tools.db, mediaId, reason, pipeline.enqueueRemoval)
    if (!uploadId) return
    // A step that is still "running" ended its worker every time.
    await tools.ends.byId(tools.db, 'media.failed', [uploadId], { last })
    tools.notifyListeners(uploadId, 'removal')
  }

  const eraseOwner = eraser({
    db: tools.db,
    boss,
    ends: tools.ends,
    notifyRemoval: (id) => tools.notifyListeners(id, 'removal'),
    wantLease: (id) => void bus.publish({ t: 'lease-wanted', id }),
    log,
  })

  async function erase({ data, signal }: TakenJob<ErasureJob>): Promise<PutBackJob<ErasureJob> | undefined> {
    try {
      return await eraseOwner({ data, signal: AbortSignal.any([signal, stopping.signal]) })
    } catch (error) {
      // Put back, not failed: the next worker continues at once.
      if (stopping.signal.aborted) return { data, afterMs: 0 }
      throw error
    }
  }

  async function sweep({ data }: TakenJob<RemovalJob>): Promise<undefined> {
    await tools.storage.bytes.sweep(data.uploadId)
  }

  const strays = new StrayRemover({ db: tools.db, storage: tools.storage, onFailure: logStrayFailures(log) })

  async function reapAll({ signal }: TakenJob<object>): Promise<undefined> {
    const { notifyListeners, db, ends } = tools
    const { retention, retentionMs } = options
    try {
      await runUpkeep({
        ...{ db, boss, strays, retention, retentionMs, notifyListeners, ends, log },
        signal: AbortSignal.any([signal, stopping.signal]),
      })
    } finally {
      // Its sweeps, and the remaining jobs of kinds that are switched off.
      for (const poller of pollers) poller.wake()
    }
  }

  /** Enqueues the reaper, which one of all workers runs. */
  async function askForReaper(): Promise<void> {
    try {
      if (await boss.send(QUEUES.reaping, {}, { singletonSeconds: REAP_MS / 1000 })) reaping.wake()
    } catch (error) {
      log.error({ err: error }, 'the reaper job could not be queued')
    }
  }

  const failures = new FailureLog(log)
  const poll = <Data extends object>(
    options: Omit<PollerOptions<Data>, 'db' | 'boss' | 'failures' | 'onError'>,
  ): Poller<Data> =>
    new Poller({
      ...options,
      db: tools.db,
      boss,
      failures,
      onError: (error) =>
        log.error({ err: error, queue: options.queues[0]?.name }, 'a queue could not be read or updated'),
    })
  const reaping = poll({ queues: [{ name: QUEUES.reaping }], slots: 1, pollMs: 30_000, handle: reapAll })
  const dead = poll({ queues: [{ name: QUEUES.dead }], slots: 1, pollMs: 15_000, handle: giveUp })
  const onFailed = () => dead.wake()
  /**
   * A kind that is switched off may have jobs left, which end at once. They are looked for at the start and after the
   * reaper.
   */
  const pollSecondary = (kind: 'analysis' | 'transcoding', pollMs: number | undefined) =>
    poll<ProcessingJob>({
      queues: [{ name: QUEUES[kind] }],
      slots: concurrency[kind],
      pollMs,
      handle: (job) => process(kind, job),
      onTaken: advance,
      onFailed,
    })
  const pollers: readonly Pick<Poller<object>, 'wake' | 'close'>[] = [
    poll<ProcessingJob>({
      // Reprocessing never takes all of the slots that new files need, where there are several.
      queues: [
        { name: QUEUES.processing },
        { name: QUEUES.again, most: Math.max(1, Math.floor(concurrency.processing / 2)) },
      ],
      slots: concurrency.processing,
      pollMs: 5_000,
      handle: processNewOrAgain,
      onTaken: advance,
      async onDone({ name, data: { mediaId } }) {
        if (name !== QUEUES.again) return
        await enqueueReprocessing(tools.db, mediaId, tools.enqueueProcessing)
      },
      onFailed,
    }),
    pollSecondary('analysis', tools.analysis && 5_000),
    pollSecondary('transcoding', tools.hls && 10_000),
    dead,
    poll({
      queues: [{ name: QUEUES.removal }],
      slots: REMOVALS_AT_ONCE,
      pollMs: 5_000,
      handle: remover(boss, tools, strays),
    }),
    poll<ErasureJob>({
      queues: [{ name: QUEUES.erasure }],
      slots: ERASURES_AT_ONCE,
      pollMs: 30_000,
      handle: erase,
    }),
    poll({ queues: [{ name: QUEUES.sweeping }], slots: REMOVALS_AT_ONCE, pollMs: 60_000, handle: sweep }),
    reaping,
  ]

  const unsubscribes = [
    bus.onMessage((message) => {
      if (message.t !== 'event' || message.queue === null) return
      const queue = isQueueKey(message.queue) ? QUEUES[message.queue] : undefined
      for (const poller of pollers) poller.wake(queue)
    }),
    bus.onReconnected(() => {
      for (const poller of pollers) poller.wake()
    }),
  ]
  const reaper = setInterval(askForReaper, REAP_MS)
  void askForReaper()

  return {
    async close() {
      clearInterval(reaper)
      for (const unsubscribe of unsubscribes) unsubscribe()
      stopping.abort()
      // The handlers put their jobs back, which takes no time.
      await Promise.all(pollers.map((poller) => poller.close(STOP_MS)))
      failures.close()
      await boss.stop({ close: false, graceful: false })
    },
  }
}
