import { openDatabase } from '../../ledger/database.ts'
import { NEWER_SCHEMA, schemaProblem, schemaState } from '../../ledger/schema-state.ts'
import type { Config } from '../config.ts'
import type { Finding } from './finding.ts'

export async function checkDatabase(config: Config): Promise<Finding> {
  if (config.DATABASE_URL === undefined) return { level: 'ok', text: 'database: embedded, started by serve' }
  const db = openDatabase({
    connectionString: config.DATABASE_URL,
    maxConnections: 1,
    applicationName: 'landfall-doctor',
    onPoolError: () => {},
  })
  try {
    const state = await schemaState(db)
    if (state.unreadable.length > 0) return { level: 'error', text: `database: ${schemaProblem(state)}` }
    if (state.pending.length > 0) {
      return { level: 'warning', text: `database: answers; to migrate: ${state.pending.join(', ')}` }
    }
    return state.newer.length > 0
      ? { level: 'warning', text: `database: answers; ${NEWER_SCHEMA} (${state.newer.join(', ')})` }
      : { level: 'ok', text: 'database: answers and is up to date' }
  } catch (error) {
    return {
      level: 'error',
      text: `database: does not answer (${error instanceof Error ? error.message : error})`,
    }
  } finally {
    await db.destroy()
  }
}
