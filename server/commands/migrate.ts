import { openDatabase } from '../../ledger/database.ts'
import { migrateToLatest } from '../../ledger/migrate.ts'
import { createQueues, openQueues } from '../../processing/queues.ts'
import { ConfigError, type Environment, parseConfig } from '../config.ts'

/** Brings the database up to date: the ledger's schema, and the queue's. */
export async function migrate(env: Environment): Promise<number> {
  const config = parseConfig(env, { auth: false })
  if (config.DATABASE_URL === undefined) {
    throw new ConfigError([
      'DATABASE_URL: "" is not accepted; it takes the database to migrate (serve migrates its own)',
    ])
  }
  const onError = (error: unknown) => process.stderr.write(`landfall: ${error}\n`)
  const db = openDatabase({
    connectionString: config.DATABASE_URL,
    maxConnections: 2,
    applicationName: 'landfall-migrate',
    onPoolError: onError,
  })
  try {
    const applied = await migrateToLatest(db)
    const boss = await openQueues({ db, supervise: false, onError })
    await createQueues(boss)
    await boss.stop({ close: false, graceful: false })
    process.stdout.write(
      applied.length > 0 ? `applied: ${applied.join(', ')}\n` : 'the database is up to date\n',
    )
    return 0
  } finally {
    await db.destroy()
  }
}
