import { Bus } from '../../ledger/bus.ts'
import { openQueues } from '../../processing/queues.ts'
import { reap } from '../../processing/reaper.ts'
import type { Environment } from '../config.ts'
import { withLedger } from './with-ledger.ts'

/** Ends what time has ended, now and not within the minute in which a worker would; a worker then removes the bytes. */
export async function reapNow(env: Environment): Promise<number> {
  return await withLedger(env, 'reap', async ({ config, db, connectionString, onError, releasers }) => {
    const boss = await openQueues({ db, supervise: false, onError })
    releasers.add('queues', () => boss.stop({ close: false, graceful: false }))
    const bus = await Bus.open({ connectionString, db, onError })
    releasers.add('bus', () => bus.close())
    const announced: Promise<void>[] = []
    const announce = (id: string) => void announced.push(bus.publish({ t: 'event', id }))
    const reaped = await reap({ db, boss, retentionMs: config.MEDIA_RETENTION, announce })
    await Promise.all(announced)
    const { expired, purged, overdue, requeued, swept, leases } = reaped
    process.stdout.write(
      `expired uploads: ${expired}\npurged media: ${purged}\noverdue analyses: ${overdue}\nqueued again: ${requeued}\nto sweep again: ${swept}\nold leases: ${leases}\n`,
    )
    return 0
  })
}
