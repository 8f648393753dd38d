import { setTimeout as sleep } from 'node:timers/promises'
import type { PgBoss } from 'pg-boss'
import { type ErasureJob, QUEUES, removalsEnqueuer } from '../jobs/queues.ts'
import type { Ledger } from '../ledger/database.ts'
import type { EndLog } from '../ledger/end-log.ts'
import { endUploads, forgetHistory, forgetJobs, forgetTickets, forgetUploads } from '../ledger/erasing.ts'
import type { UploadId } from '../ledger/ids.ts'
import {
  type ErasureWaits,
  finishErasure,
  type RunningErasure,
  recordWaits,
  runningErasure,
  type WaitReason,
} from '../ledger/owner-erasures.ts'
import type { WorkerLog } from './failures/worker-log.ts'
import type { PutBackJob, TakenJob } from './polling/poller.ts'

export type EraserOptions = {
  db: Ledger
  boss: PgBoss
  ends: EndLog
  /** Publishes that the ledger has new events of an upload, and a job to remove its bytes. */
  notifyRemoval: (uploadId: UploadId) => void
  /** Asks the request that writes to an upload to stop. */
  wantLease: (uploadId: UploadId) => void
  log: Pick<WorkerLog, 'info'>
  /** For tests: called when a page is committed. */
  onPage?: () => void
}

/** Uploads of a transaction: others who change something of this owner wait for it. */
const ENDED_AT_ONCE = 100
const FORGOTTEN_AT_ONCE = 200
/** What tells webhooks of the end of a file waits for their endpoints for this long. */
const TOLD_WITHIN_MS = 10 * 60_000
/** A request that is asked for its upload ends within this time, or its lease does. */
const HELD_MS = 500
/** Between looks, which take longer the more uploads are waited for: doubled up to the limit for so many. */
const FIRST_WAIT_MS = 500
const MAX_WAIT_MS = 60_000
const maxWaitMs = (uploads: number) => Math.min(3_000 + 5 * uploads, MAX_WAIT_MS)

/**
 * Erases an owner as far as that is possible now; a job that has to wait is put back. It may be killed anywhere, and be
 * run twice at a time: each page finds what is still to be done.
 */
export function eraser(options: EraserOptions) {
  const { db, log } = options
  return async function erase({
    data,
    signal,
  }: Pick<TakenJob<ErasureJob>, 'data' | 'signal'>): Promise<PutBackJob<ErasureJob> | undefined> {
    const erasure = await runningErasure(db, data.erasureId)
    if (!erasure) return undefined
    const goOn = () => {
      signal.throwIfAborted()
      options.onPage?.()
    }
    // Nobody begins another upload with one.
    while ((await forgetTickets(db, erasure, FORGOTTEN_AT_ONCE)) > 0) goOn()
    const held = await endAll(options, erasure, goOn)
    const { waits, forgotten } = await forgetAll(options, erasure, goOn)
    if (held > 0) waits.requests = held
    if (Object.keys(waits).length === 0) {
      while ((await forgetHistory(db, erasure, FORGOTTEN_AT_ONCE)) > 0) goOn()
      if (!(await forgetJobs(db, erasure)) && (await finishErasure(db, erasure))) {
        log.info({ erasureId: erasure.id }, 'an owner was erased')
        return undefined
      }
    }
    await recordWaits(db, erasure.id, waits)
    const waiting = Object.values(waits).reduce((sum, count) => sum + count, 0)
    const turns = forgotten > 0 ? 0 : Math.min((data.waits ?? 0) + 1, 16)
    return {
      data: { erasureId: data.erasureId, waits: turns },
      afterMs: Math.min(FIRST_WAIT_MS * 2 ** turns, maxWaitMs(waiting)),
    }
  }
}

/** Ends all uploads of the owner. Returns how many are still written to. */
async function endAll(options: EraserOptions, erasure: RunningErasure, goOn: () => void): Promise<number> {
  const { boss, db, ends, notifyRemoval, wantLease } = options
  const removals = { removalQueue: QUEUES.removal, enqueue: removalsEnqueuer(boss) }
  let held = 0
  for (let round = 0; round < 2; round++) {
    held = 0
    let after: string | undefined = ''
    while (after !== undefined) {
      const page: Awaited<ReturnType<typeof endUploads>> = await endUploads(
        db,
        erasure,
        { after, limit: ENDED_AT_ONCE },
        removals,
      )
      goOn()
      for (const id of page.held) wantLease(id)
      for (const id of [...page.ended, ...page.purged]) notifyRemoval(id)
      await ends.byId(db, 'upload.terminated', page.ended)
      await ends.byId(db, 'media.purged', page.purged)
      held += page.held.length
      after = page.next
    }
    if (held === 0) break
    // Requests store what they have and release their leases in less time.
    await sleep(HELD_MS)
  }
  return held
}

/** Deletes the rows of all uploads whose bytes are gone. Returns how many, and what the others wait for. */
async function forgetAll(
  { db }: EraserOptions,
  erasure: RunningErasure,
  goOn: () => void,
): Promise<{ waits: ErasureWaits; forgotten: number }> {
  const dropsDeliveries = Date.now() - erasure.started_at.getTime() > TOLD_WITHIN_MS
  const waits: ErasureWaits = {}
  let forgotten = 0
  let after: string | undefined = ''
  while (after !== undefined) {
    const page: Awaited<ReturnType<typeof forgetUploads>> = await forgetUploads(
      db,
      erasure,
      { after, limit: FORGOTTEN_AT_ONCE },
      { removalQueue: QUEUES.removal, dropsDeliveries },
    )
    goOn()
    forgotten += page.forgotten
    for (const [reason, count] of Object.entries(page.waits) as [WaitReason, number][])
      waits[reason] = (waits[reason] ?? 0) + count
    after = page.next
  }
  return { waits, forgotten }
}
