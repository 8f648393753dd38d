import type { PgBoss } from 'pg-boss'
import { endOverdueAnalyses } from '../../ledger/analyses.ts'
import { isWorthDoingAlone } from '../../ledger/batches.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { EndLog } from '../../ledger/end-log.ts'
import { type OwnerId, ownerOf, type UploadId } from '../../ledger/ids.ts'
import { databaseOutage } from '../../ledger/outages.ts'
import { longErasures } from '../../ledger/owner-erasures.ts'
import { clearPastTurns } from '../../ledger/processing-turns.ts'
import { mediaToPurge, purgeMedia } from '../../ledger/purging.ts'
import {
  clearExpiredLeases,
  type DuePage,
  expiredUploads,
  expireUploads,
  postponeReaping,
  requeueLostMedia,
} from '../../ledger/reaping.ts'
import { inconsistentOwners, type Recount, recountOwner } from '../../ledger/recounting.ts'
import { enqueueLostReprocessing } from '../../ledger/reprocessing.ts'
import { LATE_CALL_MS, uploadsToSweep } from '../../ledger/stored-parts.ts'
import { clearExpiredTickets } from '../../ledger/stream-tickets.ts'
import {
  enqueueErasure,
  enqueueSweep,
  MEDIA_QUEUES,
  processingEnqueuer,
  type QueueKey,
  removalEnqueuer,
} from '../queues.ts'
import { CollectedFailures } from './collected-failures.ts'

export type ReaperOptions = {
  db: Ledger
  boss: PgBoss
  /** How long a deleted media item keeps its bytes. */
  retentionMs: number
  /** Publishes that the ledger has new events of an upload, and a new job of this kind. */
  notifyListeners: (uploadId: UploadId, queue: QueueKey) => void
  log: { error(details: object, message: string): void }
  /** Undefined where ends are not logged. */
  ends?: EndLog
}

export type Reaped = Record<'expired' | 'purged' | 'overdue' | 'requeued' | 'swept' | 'leases', number>

const BATCH = 100
const LARGE_BATCH = 1000
/** Younger media items have their job. */
const LONG_IN_PROCESSING_MS = 10 * 60_000
const MAX_SWEPT = 1000

/**
 * Ends what has expired and enqueues lost jobs, until nothing is left to do. A failure in one kind of work does not
 * stop the others: it is thrown at the end, as an `AggregateError` where there are several.
 */
export async function reap(options: ReaperOptions): Promise<Reaped> {
  const failures = new CollectedFailures()
  const turn = (work: (options: ReaperOptions) => Promise<number>) => failures.attempt(() => work(options), 0)
  const reaped: Reaped = {
    expired: await turn(expire),
    purged: await turn(purge),
    overdue: await turn(endOverdue),
    requeued: await turn(requeue),
    swept: await turn(sweep),
    leases: await turn(({ db }) => clearExpiredLeases(db)),
  }
  await turn(({ db }) => clearExpiredTickets(db))
  await turn(resumeErasures)
  await turn(recountInconsistent)
  await turn(({ db, boss }) => enqueueLostReprocessing(db, LARGE_BATCH, processingEnqueuer(boss)))
  await turn(({ db }) => clearPastTurns(db))
  failures.throwAny('some tasks of the reaper failed')
  return reaped
}

async function expire(options: ReaperOptions): Promise<number> {
  const { db, boss, notifyListeners, ends } = options
  const enqueueRemoval = removalEnqueuer(boss)
  while ((await postponeReaping(db, LARGE_BATCH)) === LARGE_BATCH);
  return await throughout(
    (after) => expiredUploads(db, BATCH, after),
    async (ids) => {
      const expired = await expireUploads(db, ids, enqueueRemoval)
      for (const id of expired) notifyListeners(id, 'removal')
      await ends?.byId(db, 'upload.expired', expired)
      return expired.length
    },
    (id, error) => options.log.error({ err: error, uploadId: id }, 'an expired upload could not be ended'),
  )
}

async function purge({ db, boss, log, retentionMs, ends }: ReaperOptions): Promise<number> {
  const enqueueRemoval = removalEnqueuer(boss)
  return await throughout(
    (after) => mediaToPurge(db, retentionMs, BATCH, after),
    async (ids) => {
      const purged = await purgeMedia(db, ids, enqueueRemoval, retentionMs)
      const uploadIds = purged.map(({ uploadId }) => uploadId)
      await ends?.byId(db, 'media.purged', uploadIds)
      return purged.length
    },
    (id, error) => log.error({ err: error, mediaId: id }, 'a deleted media item could not be purged'),
  )
}

/** Runs work on everything that is due, page by page. An item that the database refuses does not stop the others. */
async function throughout<Id>(
  due: (after: DuePage<Id>['next']) => Promise<DuePage<Id>>,
  work: (ids: readonly Id[]) => Promise<number>,
  onRefused: (id: Id, error: unknown) => void,
): Promise<number> {
  let done = 0
  let after: DuePage<Id>['next']
  do {
    const page = await due(after)
    done += await isolated(page.ids, work, onRefused)
    after = page.next
  } while (after)
  return done
}

/** Halves a refused page until the refused item is found. */
async function isolated<Id>(
  ids: readonly Id[],
  work: (ids: readonly Id[]) => Promise<number>,
  onRefused: (id: Id, error: unknown) => void,
): Promise<number> {
  const [first] = ids
  if (first === undefined) return 0
  try {
    return await work(ids)
  } catch (error) {
    // An outage affects all items.
    if (!isWorthDoingAlone(error)) throw error
    if (ids.length === 1) {
      onRefused(first, error)
      return 0
    }
    const half = Math.ceil(ids.length / 2)
    return (
      (await isolated(ids.slice(0, half), work, onRefused)) +
      (await isolated(ids.slice(half), work, onRefused))
    )
  }
}

/** Ends overdue analyses. */
async function endOverdue({ db, boss, notifyListeners }: ReaperOptions): Promise<number> {
  const resume = processingEnqueuer(boss)
  for (let overdue = 0; ; ) {
    const batch = await endOverdueAnalyses(db, BATCH, resume)
    for (const id of batch) notifyListeners(id, 'processing')
    overdue += batch.length
    if (batch.length < BATCH) return overdue
  }
}

async function requeue({ db, boss }: ReaperOptions): Promise<number> {
  const enqueue = processingEnqueuer(boss)
  const lost = { ageMs: LONG_IN_PROCESSING_MS, queues: MEDIA_QUEUES, limit: LARGE_BATCH }
  for (let requeued = 0; ; ) {
    const count = await requeueLostMedia(db, lost, enqueue)
    requeued += count
    if (count < LARGE_BATCH) return requeued
  }
}

/** Jobs of younger erasures are not lost. */
const LONG_ERASURE_MS = 60_000

async function resumeErasures({ db, boss }: ReaperOptions): Promise<number> {
  const ids = await longErasures(db, LONG_ERASURE_MS, BATCH)
  for (const id of ids) await enqueueErasure(boss, id)
  return ids.length
}

/** This many outages in a row are not the fault of single owners. */
const MAX_OUTAGES = 3

/** Owner by owner: a failure of one does not stop the others, and is thrown at the end. */
async function recountInconsistent({ db, log }: ReaperOptions): Promise<number> {
  const failures = new CollectedFailures()
  let recounted = 0
  let outages = 0
  let page: DuePage<OwnerId> = { ids: [], next: undefined }
  do {
    page = await inconsistentOwners(db, BATCH, page.next)
    for (const ownerId of page.ids) {
      try {
        const recount: Recount = await recountOwner(db, ownerId)
        log.error(recount, 'the usage counters of an owner were wrong and have been corrected')
        recounted += 1
        outages = 0
      } catch (error) {
        failures.add(
          new Error(
            `the counters of the owner ${JSON.stringify(ownerOf(ownerId))} could not be recalculated`,
            {
              cause: error,
            },
          ),
        )
        outages = databaseOutage(error) ? outages + 1 : 0
        if (outages === MAX_OUTAGES) failures.throwAny('counters could not be recalculated')
      }
    }
  } while (page.next)
  failures.throwAny('counters could not be recalculated')
  return recounted
}

/** One batch: the records are deleted when the worker is done with them. */
async function sweep({ db, boss, notifyListeners }: ReaperOptions): Promise<number> {
  const due = await uploadsToSweep(db, LATE_CALL_MS, MAX_SWEPT)
  for (const uploadId of due) {
    await enqueueSweep(boss, uploadId)
    notifyListeners(uploadId, 'sweeping')
  }
  return due.length
}
