import { createQueues, missingQueues, openQueues } from '../jobs/queues.ts'
import { MAINTENANCE_DEADLINES } from '../ledger/deadlines.ts'
import { migrateToLatest } from '../ledger/migrate.ts'
import { schemaProblem, schemaState } from '../ledger/schema-state.ts'
import { CommandFailure } from '../server/process/command-failure.ts'
import { type Command, done, type Outcome } from './command.ts'
import { type LedgerCommand, withDatabase } from './with-ledger.ts'

/** Migrates the database: the schemas of the ledger and of the queue. */
export const command: Command = {
  usage: '[--check]',
  details: [
    '  --check  only list what is pending; exits 1 when something is',
    'Servers migrate when they start, unless MIGRATE=off. See docs/upgrading.md.',
  ],
  options: { check: { type: 'boolean' } },
  run: ({ env, values }) =>
    withDatabase(env, 'migrate', (command) => judge(command, values.check === true), MAINTENANCE_DEADLINES),
}

async function judge(command: LedgerCommand, isCheck: boolean): Promise<Outcome> {
  const state = await schemaState(command.db)
  // The schema of a newer release cannot be judged here.
  if (state.unreadable.length > 0) throw new CommandFailure(schemaProblem(state) ?? '')
  return isCheck ? await check(command, state.pending) : await apply(command)
}

async function apply({ db, onError }: LedgerCommand): Promise<Outcome> {
  const onProgress = (message: string) => void process.stderr.write(`${message}\n`)
  const applied = await migrateToLatest(db, { onProgress })
  const boss = await openQueues({ db, supervise: false, onError })
  await createQueues(boss)
  await boss.stop({ close: false, graceful: false })
  const line = applied.length > 0 ? `applied: ${applied.join(', ')}` : 'the database is up to date'
  return done([line], { applied })
}

async function check(command: LedgerCommand, migrations: readonly string[]): Promise<Outcome> {
  const queues = await dueQueues(command)
  const due = [...migrations, ...queues]
  const lines = due.length > 0 ? due.map((name) => `due: ${name}`) : ['the database is up to date']
  return { code: due.length > 0 ? 1 : 0, lines, json: { due } }
}

/** Missing queues. */
async function dueQueues({ db, onError }: LedgerCommand): Promise<string[]> {
  const boss = await openQueues({ db, supervise: false, migrate: false, onError }).catch((error: unknown) => {
    // pg-boss's messages for missing or outdated tables.
    if (error instanceof Error && /not installed|requires migrations/.test(error.message)) return undefined
    throw error
  })
  if (!boss) return ['pgboss']
  const missing = await missingQueues(boss)
  await boss.stop({ close: false, graceful: false })
  return missing.map((name) => `queue ${name}`)
}
