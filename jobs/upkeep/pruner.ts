import type { Ledger } from '../../ledger/database.ts'
import { pruneLinks } from '../../ledger/media-links.ts'
import { pruneErasures } from '../../ledger/owner-erasures.ts'
import {
  pruneDeliveries,
  pruneEmptyUploads,
  pruneEvents,
  pruneMedia,
  pruneSteps,
  pruneUploads,
  type Retention,
  recordMissingEnds,
  shedMetadata,
  stripUploads,
} from '../../ledger/retention.ts'
import { pruneTickets } from '../../ledger/upload-tickets.ts'
import { QUEUES } from '../queues.ts'
import { CollectedFailures } from './collected-failures.ts'

export type Pruned = Record<'deliveries' | 'events' | 'steps' | 'stripped' | 'media' | 'uploads', number>

const BATCH = 1000
/** Per table and run: the rest is left to the next minute. */
const MAX_BATCHES = 100

/**
 * Deletes records whose retention is over. A failure in one table does not stop the others: failures are thrown at the
 * end.
 */
export async function prune(db: Ledger, retention: Retention): Promise<Pruned> {
  const { historyMs } = retention
  // An event refers to its upload for as long as it is kept.
  const recordMs = Math.max(retention.recordMs, historyMs)
  const failures = new CollectedFailures()
  const turn = (batch: () => Promise<number>) => failures.attempt(() => inBatches(batch), 0)
  const deliveries = await turn(() => pruneDeliveries(db, historyMs, BATCH))
  const events = await failures.attempt(() => pruneAllEvents(db, historyMs), 0)
  const steps = await failures.attempt(() => pruneAllSteps(db, historyMs), 0)
  await turn(() => recordMissingEnds(db, BATCH))
  await turn(() => shedMetadata(db, BATCH))
  const stripped = await turn(() => stripUploads(db, recordMs, BATCH))
  const media = await turn(() => pruneMedia(db, recordMs, BATCH, QUEUES.removal))
  // For as long again, the address of an upload answers 410.
  const longGone = await turn(() => pruneUploads(db, 2 * recordMs, BATCH, QUEUES.removal))
  // After their events, which are as old as their end.
  const empty = await turn(() => pruneEmptyUploads(db, historyMs, BATCH, QUEUES.removal))
  await turn(() => pruneTickets(db, historyMs, BATCH))
  await turn(() => pruneErasures(db, retention.recordMs, BATCH))
  await turn(() => pruneLinks(db, historyMs, BATCH))
  failures.throwAny('some history could not be removed')
  return { deliveries, events, steps, stripped, media, uploads: longGone + empty }
}

async function inBatches(batch: () => Promise<number>): Promise<number> {
  let pruned = 0
  for (let i = 0; i < MAX_BATCHES; i++) {
    const count = await batch()
    pruned += count
    if (count < BATCH) break
  }
  return pruned
}

/** Until a batch is not full, or all that was found is locked by others. */
async function pruneAllSteps(db: Ledger, ageMs: number): Promise<number> {
  let total = 0
  for (let i = 0; i < MAX_BATCHES; i++) {
    const { found, pruned } = await pruneSteps(db, ageMs, BATCH)
    total += pruned
    if (found < BATCH || pruned === 0) break
  }
  return total
}

async function pruneAllEvents(db: Ledger, ageMs: number): Promise<number> {
  let pruned = 0
  let after: number | undefined = 0
  for (let i = 0; i < MAX_BATCHES && after !== undefined; i++) {
    const page: Awaited<ReturnType<typeof pruneEvents>> = await pruneEvents(db, ageMs, BATCH, after)
    pruned += page.pruned
    after = page.next
  }
  return pruned
}
