import { openQueues, type QueueKey } from '../jobs/queues.ts'
import { CollectedFailures } from '../jobs/upkeep/collected-failures.ts'
import { type Pruned, prune } from '../jobs/upkeep/pruner.ts'
import { type Reaped, reap } from '../jobs/upkeep/reaper.ts'
import { Bus } from '../ledger/bus.ts'
import { EndLog } from '../ledger/end-log.ts'
import { type Command, done } from './command.ts'
import { withLedger } from './with-ledger.ts'

/** Ends expired uploads and the like now instead of within a minute; a worker then removes the bytes. */
export const command: Command = {
  usage: '',
  details: ['Workers do this every minute. Only workers remove the bytes, so at least one must run.'],
  run: ({ env }) =>
    withLedger(env, 'reap', async ({ config, db, connectionString, log, onError, releasers }) => {
      const boss = await openQueues({ db, supervise: false, migrate: false, onError })
      releasers.add('queues', () => boss.stop({ close: false, graceful: false }))
      const bus = await Bus.open({ connectionString, onError })
      releasers.add('bus', () => bus.close())
      const announced: Promise<void>[] = []
      const notifyListeners = (id: string, queue: QueueKey) =>
        void announced.push(bus.publish({ t: 'event', id, queue }))
      const ends = new EndLog(log)
      const retentionMs = config.MEDIA_RETENTION
      const retention = { historyMs: config.HISTORY_RETENTION, recordMs: config.RECORD_RETENTION }
      const failures = new CollectedFailures()
      const reaping = () => reap({ db, boss, retentionMs, notifyListeners, ends, log })
      const reaped = await failures.attempt<Reaped | undefined>(reaping, undefined)
      await Promise.all(announced)
      const pruned = await failures.attempt<Pruned | undefined>(() => prune(db, retention), undefined)
      failures.throwAny('some maintenance tasks failed')
      if (!reaped || !pruned) throw new Error('work that did not fail has no result')
      const { expired, purged, overdue, requeued, swept, leases } = reaped
      const lines = [
        `expired uploads: ${expired}`,
        `purged media: ${purged}`,
        `overdue analyses: ${overdue}`,
        `queued again: ${requeued}`,
        `to sweep again: ${swept}`,
        `old leases: ${leases}`,
        ...Object.entries(pruned).flatMap(([what, count]) => (count > 0 ? [`pruned ${what}: ${count}`] : [])),
      ]
      return done(lines, { ...reaped, pruned })
    }),
}
