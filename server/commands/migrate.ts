import { MAINTENANCE_DEADLINES } from '../../ledger/deadlines.ts'
import { migrateToLatest } from '../../ledger/migrate.ts'
import { createQueues, openQueues } from '../../processing/queues.ts'
import { type Command, done, type Outcome } from './command.ts'
import { type LedgerCommand, withDatabase } from './with-ledger.ts'

/** Brings the database up to date: the ledger's schema, and the queue's. */
export const migrate: Command = {
  name: 'migrate',
  summary: 'Bring the database up to date and exit.',
  usage: '',
  details: ['Servers and workers do it when they start.'],
  run: ({ env }) => withDatabase(env, 'migrate', applyAll, MAINTENANCE_DEADLINES),
}

async function applyAll({ db, onError }: LedgerCommand): Promise<Outcome> {
  const applied = await migrateToLatest(db)
  const boss = await openQueues({ db, supervise: false, onError })
  await createQueues(boss)
  await boss.stop({ close: false, graceful: false })
  const line = applied.length > 0 ? `applied: ${applied.join(', ')}` : 'the database is up to date'
  return done([line], { applied })
}
