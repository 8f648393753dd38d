import type { PgBoss } from 'pg-boss'
import { endOverdueAnalyses } from '../ledger/analyses.ts'
import type { Ledger } from '../ledger/database.ts'
import type { MediaId, UploadId } from '../ledger/ids.ts'
import { LATE_MS, uploadsToSweep } from '../ledger/pieces.ts'
import {
  clearExpiredLeases,
  expireUploads,
  expireUsedPartials,
  mediaLongInProcessing,
  purgeMedia,
} from '../ledger/reaping.ts'
import { clearExpiredTickets } from '../ledger/stream-tickets.ts'
import {
  enqueueSteps,
  enqueueSweep,
  isBeingProcessed,
  processingEnqueuer,
  type QueueKey,
  removalEnqueuer,
} from './queues.ts'

export type ReaperOptions = {
  db: Ledger
  boss: PgBoss
  /** How long a deleted media keeps its bytes. */
  retentionMs: number
  /** Tells listeners that the ledger has news of an upload, and who takes jobs that there is one of this kind. */
  announce: (uploadId: UploadId, queue: QueueKey) => void
}

export type Reaped = {
  expired: number
  purged: number
  overdue: number
  requeued: number
  swept: number
  leases: number
}

const BATCH = 100
/** Younger media are surely still on their way. */
const LONG_IN_PROCESSING_MS = 10 * 60_000
const MAX_SWEPT = 1000

/**
 * Ends what time has ended and picks up what was dropped, until there is nothing left to do. What one kind of
 * work fails of does not keep the others: the failure is thrown when all had their turn, an `AggregateError`
 * of several.
 */
export async function reap(options: ReaperOptions): Promise<Reaped> {
  const failures: unknown[] = []
  const turn = async (work: (options: ReaperOptions) => Promise<number>): Promise<number> => {
    try {
      return await work(options)
    } catch (error) {
      failures.push(error)
      return 0
    }
  }
  const reaped: Reaped = {
    expired: (await turn(expire)) + (await turn(expirePartials)),
    purged: await turn(purge),
    overdue: await turn(endOverdue),
    requeued: await turn(requeue),
    swept: await turn(sweep),
    leases: await turn(({ db }) => clearExpiredLeases(db)),
  }
  await turn(({ db }) => clearExpiredTickets(db))
  if (failures.length > 1) throw new AggregateError(failures, 'the reaper could not do all of its work')
  if (failures.length === 1) throw failures[0]
  return reaped
}

async function expire({ db, boss, announce }: ReaperOptions): Promise<number> {
  const enqueueRemoval = removalEnqueuer(boss)
  for (let expired = 0; ; ) {
    const batch: UploadId[] = await expireUploads(db, BATCH, enqueueRemoval)
    for (const id of batch) announce(id, 'removal')
    expired += batch.length
    if (batch.length < BATCH) return expired
  }
}

async function expirePartials({ db, boss }: ReaperOptions): Promise<number> {
  const enqueueRemoval = removalEnqueuer(boss)
  for (let expired = 0; ; ) {
    const count = await expireUsedPartials(db, BATCH, enqueueRemoval)
    expired += count
    if (count < BATCH) return expired
  }
}

async function purge({ db, boss, retentionMs }: ReaperOptions): Promise<number> {
  const enqueueRemoval = removalEnqueuer(boss)
  for (let purged = 0; ; ) {
    const count = await purgeMedia(db, retentionMs, BATCH, enqueueRemoval)
    purged += count
    if (count < BATCH) return purged
  }
}

/** The analyses that an engine has not ended in time. */
async function endOverdue({ db, boss, announce }: ReaperOptions): Promise<number> {
  const resume = processingEnqueuer(boss)
  for (let overdue = 0; ; ) {
    const batch = await endOverdueAnalyses(db, BATCH, resume)
    for (const id of batch) announce(id, 'processing')
    overdue += batch.length
    if (batch.length < BATCH) return overdue
  }
}

async function requeue({ db, boss }: ReaperOptions): Promise<number> {
  let requeued = 0
  for (let after: MediaId | undefined; ; ) {
    const page = await mediaLongInProcessing(db, LONG_IN_PROCESSING_MS, { limit: BATCH, after })
    for (const mediaId of page) {
      if (await isBeingProcessed(boss, mediaId)) continue
      await enqueueSteps(boss, 'processing', { mediaId })
      requeued += 1
    }
    after = page.at(-1)
    if (page.length < BATCH) return requeued
  }
}

/** A batch: they are gone from the ledger when the worker is done with them, not before. */
async function sweep({ db, boss }: ReaperOptions): Promise<number> {
  const due = await uploadsToSweep(db, LATE_MS, MAX_SWEPT)
  for (const uploadId of due) await enqueueSweep(boss, uploadId)
  return due.length
}
