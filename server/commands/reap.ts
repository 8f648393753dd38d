import { Bus } from '../../ledger/bus.ts'
import { openDatabase } from '../../ledger/database.ts'
import { openQueues } from '../../processing/queues.ts'
import { reap } from '../../processing/reaper.ts'
import { ConfigError, type Environment, parseConfig } from '../config.ts'
import { createLog } from '../log.ts'
import { Releasers } from '../releasers.ts'

/** Ends what time has ended, now and not within the minute in which a worker would; a worker then removes the bytes. */
export async function reapNow(env: Environment): Promise<number> {
  const config = parseConfig(env, { auth: false })
  const { DATABASE_URL: connectionString } = config
  if (connectionString === undefined) {
    throw new ConfigError([
      'DATABASE_URL: "" is not accepted; reap takes the database of the server it works for',
    ])
  }
  const log = createLog({ level: config.LOG_LEVEL, name: 'landfall-reap' })
  const onError = (error: unknown) => log.error({ err: error }, 'background work failed')
  const releasers = new Releasers()
  try {
    const db = openDatabase({
      connectionString,
      maxConnections: 3,
      applicationName: 'landfall-reap',
      onPoolError: onError,
    })
    releasers.add('database', () => db.destroy())
    const boss = await openQueues({ db, supervise: false, onError })
    releasers.add('queues', () => boss.stop({ close: false, graceful: false }))
    const bus = await Bus.open({ connectionString, db, onError })
    releasers.add('bus', () => bus.close())
    const announced: Promise<void>[] = []
    const announce = (id: string) => void announced.push(bus.publish({ t: 'event', id }))
    const reaped = await reap({ db, boss, retentionMs: config.MEDIA_RETENTION, announce })
    await Promise.all(announced)
    const { expired, purged, requeued, swept, leases } = reaped
    process.stdout.write(
      `expired uploads: ${expired}\npurged media: ${purged}\nqueued again: ${requeued}\nto sweep again: ${swept}\nold leases: ${leases}\n`,
    )
    return 0
  } finally {
    await releasers.releaseAll(log)
  }
}
