import { openDatabase } from '../../ledger/database.ts'
import { type MediaId, parseMediaId } from '../../ledger/ids.ts'
import { failedMedia, retryMedia } from '../../ledger/retrying.ts'
import { openQueues, processingEnqueuer } from '../../processing/queues.ts'
import { ConfigError, type Environment, parseConfig } from '../config.ts'
import { createLog } from '../log.ts'
import { Releasers } from '../releasers.ts'

/** More failed at a time are for the next call. */
const MOST = 10_000

/** Has media processed again: those named, or all that failed for reasons of this server. */
export async function retry(env: Environment, ids: readonly string[], all: boolean): Promise<number> {
  const config = parseConfig(env, { auth: false })
  const { DATABASE_URL: connectionString } = config
  if (connectionString === undefined) {
    throw new ConfigError([
      'DATABASE_URL: "" is not accepted; retry takes the database of the server it works for',
    ])
  }
  if (all === ids.length > 0) {
    process.stderr.write('landfall: retry takes the ids of media, or --all\n')
    return 2
  }
  const log = createLog({ level: config.LOG_LEVEL, name: 'landfall-retry' })
  const onError = (error: unknown) => log.error({ err: error }, 'background work failed')
  const releasers = new Releasers()
  try {
    const db = openDatabase({
      connectionString,
      maxConnections: 3,
      applicationName: 'landfall-retry',
      onPoolError: onError,
    })
    releasers.add('database', () => db.destroy())
    const boss = await openQueues({ db, supervise: false, onError })
    releasers.add('queues', () => boss.stop({ close: false, graceful: false }))
    const enqueue = processingEnqueuer(boss)
    let failures = 0
    for (const id of all ? await failedMedia(db, MOST) : ids) {
      const mediaId: MediaId | undefined = parseMediaId(id)
      const result = mediaId
        ? await retryMedia(db, { id: mediaId, ownerId: undefined }, enqueue)
        : ({ kind: 'absent' } as const)
      const outcome = result.kind === 'over' ? `is ${result.status}: nothing to retry` : result.kind
      process.stdout.write(`${id} ${result.kind === 'absent' ? 'is not there' : outcome}\n`)
      if (result.kind !== 'queued') failures += 1
    }
    return failures > 0 ? 1 : 0
  } finally {
    await releasers.releaseAll(log)
  }
}
