import type { PgBoss } from 'pg-boss'
import type { Ledger } from '../ledger/database.ts'
import type { MediaId, UploadId } from '../ledger/ids.ts'
import { clearExpiredLeases, expireUploads, mediaLongInProcessing, purgeMedia } from '../ledger/reaping.ts'
import { type ProcessingJob, QUEUES, removalEnqueuer } from './queues.ts'

export type ReaperOptions = {
  db: Ledger
  boss: PgBoss
  /** How long a deleted media keeps its bytes. */
  retentionMs: number
  /** Tells listeners that the ledger has news of an upload. */
  announce: (uploadId: UploadId) => void
}

export type Reaped = { expired: number; purged: number; requeued: number; leases: number }

const BATCH = 100
/** Younger media are surely still on their way. */
const LONG_IN_PROCESSING_MS = 10 * 60_000
/** States of a job that will still be worked on. */
const ALIVE = new Set(['created', 'retry', 'active'])

/** Ends what time has ended and picks up what was dropped, until there is nothing left to do. */
export async function reap(options: ReaperOptions): Promise<Reaped> {
  const { db, boss, retentionMs, announce } = options
  const enqueueRemoval = removalEnqueuer(boss)
  const reaped: Reaped = { expired: 0, purged: 0, requeued: 0, leases: 0 }

  for (let batch: UploadId[] = []; ; ) {
    batch = await expireUploads(db, BATCH, enqueueRemoval)
    for (const id of batch) announce(id)
    reaped.expired += batch.length
    if (batch.length < BATCH) break
  }
  for (let count = BATCH; count === BATCH; reaped.purged += count) {
    count = await purgeMedia(db, retentionMs, BATCH, enqueueRemoval)
  }
  for (let after: MediaId | undefined; ; ) {
    const page = await mediaLongInProcessing(db, LONG_IN_PROCESSING_MS, { limit: BATCH, after })
    for (const mediaId of page) {
      if (await hasJob(boss, mediaId)) continue
      await boss.send(QUEUES.processing, { mediaId } satisfies ProcessingJob)
      reaped.requeued += 1
    }
    after = page.at(-1)
    if (page.length < BATCH) break
  }
  reaped.leases = await clearExpiredLeases(db)
  return reaped
}

async function hasJob(boss: PgBoss, mediaId: MediaId): Promise<boolean> {
  for (const queue of [QUEUES.processing, QUEUES.dead]) {
    const jobs = await boss.findJobs(queue, { data: { mediaId } })
    if (jobs.some(({ state }) => ALIVE.has(state))) return true
  }
  return false
}
