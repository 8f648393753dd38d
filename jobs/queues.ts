import { fromKysely, PgBoss, type Queue } from 'pg-boss'
import type { Ledger, LedgerTransaction } from '../ledger/database.ts'
import type { DueMedia } from '../ledger/due-work.ts'
import type { MediaId, OwnerId, UploadId } from '../ledger/ids.ts'
import { mediaForJob } from '../ledger/media.ts'
import { AT_ONCE, type Turn } from '../ledger/processing-turns.ts'
import { groupOf } from './shares.ts'

/** Names of the queues, each with the data of its jobs. */
export const QUEUES = {
  /** `{ mediaId }`: make a received file ready. */
  processing: 'process-media',
  /** `{ mediaId }`: process a media item again. At most one job of a media item, waiting or running. */
  again: 'process-media-again',
  /** `{ mediaId }`: ask the engine that analyses files. */
  analysis: 'analyse-media',
  /** `{ mediaId }`: make HLS renditions of a ready file. */
  transcoding: 'transcode-media',
  /** Jobs of these four that have failed permanently. */
  dead: 'process-media-dead',
  /** `{ uploadId }`: remove the bytes of an ended upload. */
  removal: 'remove-bytes',
  /** `{ uploadId }`: remove a second time what a late call may have stored. */
  sweeping: 'sweep-bytes',
  /** `{ erasureId }`: erase an owner. */
  erasure: 'erase-owner',
  /** No data: run the reaper. */
  reaping: 'reap',
} as const

/** A media item with a job in one of these is being processed. */
export const MEDIA_QUEUES: readonly string[] = [
  QUEUES.processing,
  QUEUES.again,
  QUEUES.transcoding,
  QUEUES.dead,
]

export type QueueKey = keyof typeof QUEUES

export const isQueueKey = (name: string | undefined): name is QueueKey =>
  name !== undefined && Object.hasOwn(QUEUES, name)

/** Kinds of jobs that run steps of a media item. */
export type JobKind = 'processing' | 'analysis' | 'transcoding'

export type ProcessingJob = {
  mediaId: MediaId
  /** Bytes. */
  size?: number
  /** Only in jobs of the previous release. */
  since?: number
  kind?: JobKind
  waits?: number
  /** When it began to wait for scratch space: milliseconds since the epoch. */
  roomSince?: number
}
export type RemovalJob = { uploadId: UploadId }
/** The owner is in the row of the erasure alone. */
export type ErasureJob = {
  erasureId: string
  /** How often it found nothing to do but to wait. */
  waits?: number
}

export type QueueOptions = {
  db: Ledger
  /** Whether this process maintains the queues: expired jobs, retries, clean-up, schedules. */
  supervise: boolean
  /** Whether missing tables of the queue are created; fails otherwise. Default: true. */
  migrate?: boolean
  onError: (error: unknown) => void
}

/** Opens pg-boss in a schema of its own, on the ledger's connections. The caller stops it. */
export async function openQueues(options: QueueOptions): Promise<PgBoss> {
  const boss = new PgBoss({
    db: fromKysely(options.db),
    schema: 'pgboss',
    supervise: options.supervise,
    migrate: options.migrate ?? true,
    // Workers enqueue the reaper by their own clocks, with one statement a minute.
    schedule: false,
    ...(options.supervise ? SUPERVISION : {}),
  })
  boss.on('error', options.onError)
  await boss.start()
  return boss
}

/** Fails with an explanation when a queue is missing that only `landfall migrate` may create. */
export async function requireQueues(boss: PgBoss): Promise<void> {
  const missing = await missingQueues(boss)
  if (missing.length > 0) {
    throw new Error(`the database lacks queues (${missing.join(', ')}): run "landfall migrate"`)
  }
}

/** The queues of this release that do not exist yet. */
export async function missingQueues(boss: PgBoss): Promise<string[]> {
  const present = new Set((await boss.getQueues()).map(({ name }) => name))
  return Object.values(QUEUES).filter((name) => !present.has(name))
}

/**
 * One worker of all looks for jobs of dead workers, and counts; the others find that it was done. pg-boss also looks
 * for flows (jobs that wait for jobs), which we do not use.
 */
const SUPERVISION = { superviseIntervalSeconds: 10, monitorIntervalSeconds: 10, flowIntervalSeconds: 3600 }

const NO_JOB = '00000000-0000-0000-0000-000000000000'

/** Creates the queues, or updates their options. */
export async function createQueues(boss: PgBoss): Promise<void> {
  // A job waits for a worker for any time.
  const shared = { heartbeatSeconds: 15, deleteAfterSeconds: 3600, retentionSeconds: 10 * 365 * 86_400 }
  /** Retries, from so many seconds up to the most apart. */
  const retries = (retryLimit: number, retryDelay: number, retryDelayMax: number) => ({
    ...shared,
    retryLimit,
    retryDelay,
    retryBackoff: true,
    retryDelayMax,
  })
  const steps = { deadLetter: QUEUES.dead, ...retries(5, 2, 300) }
  const queues: Queue[] = [
    { name: QUEUES.dead, ...retries(20, 5, 300) },
    { name: QUEUES.processing, ...steps, expireInSeconds: 4 * 3600 },
    { name: QUEUES.again, policy: 'exclusive', ...steps, expireInSeconds: 4 * 3600 },
    // At most one job of a media item waits and one runs: two transcodings would use the same scratch folder.
    { name: QUEUES.analysis, policy: 'stately', ...steps },
    { name: QUEUES.transcoding, policy: 'stately', ...steps, expireInSeconds: 12 * 3600 },
    { name: QUEUES.removal, ...retries(1000, 2, 3600) },
    // One for an erasure; the reaper enqueues it again as long as that is not done.
    { name: QUEUES.erasure, policy: 'exclusive', ...retries(1000, 2, 300), expireInSeconds: 4 * 3600 },
    // One for an upload; the reaper enqueues it again.
    { name: QUEUES.sweeping, policy: 'exclusive', retryLimit: 0, ...shared },
    // One at a time and none waiting: each does everything that is due.
    { name: QUEUES.reaping, policy: 'exclusive', retryLimit: 0, ...shared },
  ]
  for (const { name, policy, ...settings } of queues) {
    if (await boss.getQueue(name)) await boss.updateQueue(name, settings)
    else await boss.createQueue(name, { policy, ...settings })
    // pg-boss drops a changed queue from its cache and looks it up with the next job, on a second connection beside
    // that of the transaction. A burst of such transactions would deadlock: look it up now.
    await boss.getJobById(name, NO_JOB)
  }
}

/** States of a job that waits or runs. */
const ALIVE = new Set(['created', 'retry', 'active'])

/** Whether a job for this media item waits or runs. */
export async function isBeingProcessed(boss: PgBoss, mediaId: MediaId): Promise<boolean> {
  for (const queue of MEDIA_QUEUES) {
    const jobs = await boss.findJobs(queue, { data: { mediaId } })
    if (jobs.some(({ state }) => ALIVE.has(state))) return true
  }
  return false
}

/** Jobs with the highest priority first; 32-bit numbers. */
const LEAST_PRIORITY = -(2 ** 31)

/**
 * An earlier turn has a higher priority, by the second; equal ones are first come, first served. Beyond 68 years of
 * virtual time all would be equal.
 */
export const priorityOf = (turn: Turn): number => Math.max(LEAST_PRIORITY, -Math.floor(turn / 1000))

/** The inverse. */
export const turnOf = (priority: number): Turn => -priority * 1000

/** Enqueues a job of this kind for a media item. */
export async function enqueueSteps(
  boss: PgBoss,
  kind: JobKind,
  { turn, ownerId, ...job }: ProcessingJob & { turn: Turn; ownerId: OwnerId | undefined },
): Promise<void> {
  await boss.send(QUEUES[kind], { ...job, kind } satisfies ProcessingJob, {
    priority: priorityOf(turn),
    ...(ownerId === undefined ? {} : { group: groupOf(ownerId, job.size ?? 0) }),
    ...(kind === 'processing' ? {} : { singletonKey: job.mediaId }),
  })
}

/** Enqueues the processing of media items in the transaction that makes it due. */
export function processingEnqueuer(boss: PgBoss) {
  return async (trx: LedgerTransaction, due: readonly DueMedia[]): Promise<void> => {
    for (const again of [false, true]) {
      const jobs = due
        .filter((media) => (media.again ?? false) === again)
        .map(({ id: mediaId, ownerId, size, turn }) => ({
          data: { mediaId, size } satisfies ProcessingJob,
          priority: priorityOf(turn),
          group: groupOf(ownerId, size),
          ...(again ? { singletonKey: mediaId } : {}),
        }))
      if (jobs.length > 0)
        await boss.insert(again ? QUEUES.again : QUEUES.processing, jobs, { db: fromKysely(trx) })
    }
  }
}

/** Enqueues the removal of an upload's bytes in the transaction that ends it. */
export function removalEnqueuer(boss: PgBoss) {
  return async (trx: LedgerTransaction, uploadId: UploadId): Promise<void> => {
    await boss.send(QUEUES.removal, { uploadId } satisfies RemovalJob, { db: fromKysely(trx) })
  }
}

/** The same for many uploads at once. */
export function removalsEnqueuer(boss: PgBoss) {
  return async (trx: LedgerTransaction, uploadIds: readonly UploadId[]): Promise<void> => {
    const jobs = uploadIds.map((uploadId) => ({ data: { uploadId } satisfies RemovalJob }))
    if (jobs.length > 0) await boss.insert(QUEUES.removal, jobs, { db: fromKysely(trx) })
  }
}

/** Enqueues an erasure in the transaction that begins it. */
export function erasureEnqueuer(boss: PgBoss) {
  return async (trx: LedgerTransaction, erasureId: string): Promise<void> => {
    await boss.send(QUEUES.erasure, { erasureId } satisfies ErasureJob, {
      singletonKey: erasureId,
      db: fromKysely(trx),
    })
  }
}

/** Enqueues an erasure whose job was lost, unless it waits or runs. */
export async function enqueueErasure(boss: PgBoss, erasureId: string): Promise<void> {
  await boss.send(QUEUES.erasure, { erasureId } satisfies ErasureJob, { singletonKey: erasureId })
}

/** Enqueues the second removal of an upload's remains, unless that waits or runs already. */
export async function enqueueSweep(boss: PgBoss, uploadId: UploadId): Promise<void> {
  await boss.send(QUEUES.sweeping, { uploadId } satisfies RemovalJob, { singletonKey: uploadId })
}

/** Enqueues restored jobs, in the transaction that restores their subjects. */
export async function enqueueRestored(
  boss: PgBoss,
  trx: LedgerTransaction,
  jobs: readonly { name: string; data: unknown }[],
): Promise<void> {
  const enqueueRemoval = removalEnqueuer(boss)
  const enqueueProcessing = processingEnqueuer(boss)
  for (const { name, data } of jobs) {
    if (name === QUEUES.removal) await enqueueRemoval(trx, (data as RemovalJob).uploadId)
    if (name === QUEUES.processing || name === QUEUES.dead) {
      const media = await mediaForJob(trx, (data as ProcessingJob).mediaId)
      if (!media) continue
      const { id, size, owner_id: ownerId } = media
      await enqueueProcessing(trx, [{ id, ownerId, size, turn: AT_ONCE }])
    }
  }
}

/** The same for other kinds of steps, which are enqueued after the transaction. */
export async function enqueueRestoredSteps(
  boss: PgBoss,
  db: Ledger,
  jobs: readonly { name: string; data: unknown }[],
): Promise<void> {
  for (const kind of ['analysis', 'transcoding'] as const) {
    for (const { name, data } of jobs) {
      if (name !== QUEUES[kind]) continue
      const job = data as ProcessingJob
      const media = await mediaForJob(db, job.mediaId)
      await enqueueSteps(boss, kind, { ...job, ownerId: media?.owner_id, turn: AT_ONCE })
    }
  }
}
