import { CollectedFailures } from '../jobs/upkeep/collected-failures.ts'
import { type Pruned, prune } from '../jobs/upkeep/pruner.ts'
import { type Reaped, type ReaperOptions, reap } from '../jobs/upkeep/reaper.ts'
import type { Retention } from '../ledger/retention.ts'
import type { StrayFailure, StrayRemover } from '../storage/moving/remove-strays.ts'
import type { WorkerLog } from './failures/worker-log.ts'

export type UpkeepOptions = Omit<ReaperOptions, 'log'> & {
  strays: Pick<StrayRemover, 'removeDue'>
  retention: Retention
  /** Stops work that can be continued at the next run. */
  signal: AbortSignal
  log: WorkerLog
}

/**
 * Ends what has expired, removes former copies and prunes. A failure of one does not stop the others: failures are
 * thrown at the end.
 */
export async function runUpkeep(options: UpkeepOptions): Promise<void> {
  const { db, log, retention, signal, strays } = options
  const failures = new CollectedFailures()
  const logCounts = (done: Reaped | Pruned | undefined, message: string) => {
    if (done && Object.values(done).some((count) => count > 0)) log.info(done, message)
  }
  logCounts(await failures.attempt<Reaped | undefined>(() => reap(options), undefined), 'reaped')
  const copies = await failures.attempt(() => strays.removeDue(signal), 0)
  if (copies > 0) log.info({ copies }, 'removed the copies that a move left behind')
  logCounts(await failures.attempt<Pruned | undefined>(() => prune(db, retention), undefined), 'pruned')
  failures.throwAny('some maintenance tasks failed')
}

/** Warns of former copies that could not be removed. */
export const logStrayFailures =
  (log: Pick<UpkeepOptions['log'], 'warn'>) =>
  ({ backend, uploads, error }: StrayFailure): void =>
    log.warn({ backend, uploads, err: error }, 'copies that a move left behind could not be removed yet')
