import type { Retention } from '../ledger/retention.ts'
import { removeStrays, type StrayOptions } from '../storage/moving/remove-strays.ts'
import { CollectedFailures } from './collected-failures.ts'
import { type Pruned, prune } from './pruner.ts'
import { type Reaped, type ReaperOptions, reap } from './reaper.ts'

export type UpkeepOptions = Omit<ReaperOptions, 'log'> & {
  storage: StrayOptions['storage']
  retention: Retention
  log: Record<'info' | 'warn' | 'error', (details: object, message: string) => void>
}

/**
 * Ends what time has ended, removes former copies and prunes. What one of these fails of does not keep the others: the
 * failures are thrown when all had their turn.
 */
export async function doUpkeep(options: UpkeepOptions): Promise<void> {
  const { db, log, retention, storage } = options
  const failures = new CollectedFailures()
  const tell = (done: Reaped | Pruned | undefined, message: string) => {
    if (done && Object.values(done).some((count) => count > 0)) log.info(done, message)
  }
  tell(await failures.attempt<Reaped | undefined>(() => reap(options), undefined), 'reaped')
  const onError = (error: unknown) => log.warn({ err: error }, 'a former copy could not be removed yet')
  const copies = await failures.attempt(() => removeStrays({ db, storage, onError }), 0)
  if (copies > 0) log.info({ copies }, 'removed former copies')
  tell(await failures.attempt<Pruned | undefined>(() => prune(db, retention), undefined), 'pruned')
  failures.throwAny('not all of the upkeep could be done')
}
