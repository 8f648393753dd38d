import { migrateToLatest } from '../../ledger/migrate.ts'
import { createQueues, openQueues } from '../../processing/queues.ts'
import { type Command, done } from './command.ts'
import { withDatabase } from './with-ledger.ts'

/** Brings the database up to date: the ledger's schema, and the queue's. */
export const migrate: Command = {
  name: 'migrate',
  summary: 'Bring the database up to date and exit.',
  usage: '',
  details: ['Servers and workers do it when they start.'],
  run: ({ env }) =>
    withDatabase(env, 'migrate', async ({ db, onError }) => {
      const applied = await migrateToLatest(db)
      const boss = await openQueues({ db, supervise: false, onError })
      await createQueues(boss)
      await boss.stop({ close: false, graceful: false })
      const line = applied.length > 0 ? `applied: ${applied.join(', ')}` : 'the database is up to date'
      return done([line], { applied })
    }),
}
