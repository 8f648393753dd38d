import { parseMediaId } from '../../ledger/ids.ts'
import { failedMedia, retryMedia } from '../../ledger/retrying.ts'
import { openQueues, processingEnqueuer } from '../../processing/queues.ts'
import type { Environment } from '../config.ts'
import { withLedger } from './with-ledger.ts'

/** More failed at a time are for the next call. */
const MOST = 10_000

/** Has media processed again: those named, or all that failed for reasons of this server. */
export async function retry(env: Environment, ids: readonly string[], all: boolean): Promise<number> {
  if (all === ids.length > 0) {
    process.stderr.write('landfall: retry takes the ids of media, or --all\n')
    return 2
  }
  return await withLedger(env, 'retry', async ({ db, onError, releasers }) => {
    const boss = await openQueues({ db, supervise: false, onError })
    releasers.add('queues', () => boss.stop({ close: false, graceful: false }))
    const enqueue = processingEnqueuer(boss)
    let failures = 0
    for (const id of all ? await failedMedia(db, MOST) : ids) {
      const mediaId = parseMediaId(id)
      const result = mediaId
        ? await retryMedia(db, { id: mediaId, ownerId: undefined }, enqueue)
        : ({ kind: 'absent' } as const)
      const outcome = result.kind === 'over' ? `is ${result.status}: nothing to retry` : result.kind
      process.stdout.write(`${id} ${result.kind === 'absent' ? 'is not there' : outcome}\n`)
      if (result.kind !== 'queued') failures += 1
    }
    return failures > 0 ? 1 : 0
  })
}
