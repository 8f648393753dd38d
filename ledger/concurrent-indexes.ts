import { type QueryExecutorProvider, sql } from 'kysely'
import type { IndexChange } from '../migrations/migration.ts'
import { firstValue, run } from './rows.ts'

/**
 * Builds or drops an index while its table is in use; idempotent. An index that a killed process left invalid costs
 * every write: it is dropped and built again. The session must not be in a transaction.
 */
export async function applyIndexChange(
  session: QueryExecutorProvider,
  change: IndexChange,
  onProgress: (message: string) => void,
): Promise<void> {
  const name = 'drop' in change ? change.drop : change.create
  const found = await indexState(session, name)
  if ('drop' in change) {
    if (found !== 'absent') await drop(session, name)
    return
  }
  if (found === 'valid') return
  if (found === 'invalid') await drop(session, name)
  onProgress(`builds index ${name}`)
  const kind = change.isUnique ? 'unique index' : 'index'
  await run(session)`create ${sql.raw(kind)} concurrently ${sql.id(name)} on ${sql.raw(change.on)}`
}

async function drop(session: QueryExecutorProvider, name: string): Promise<void> {
  await run(session)`drop index concurrently if exists ${sql.id('landfall', name)}`
}

async function indexState(
  session: QueryExecutorProvider,
  name: string,
): Promise<'absent' | 'invalid' | 'valid'> {
  const isValid = await firstValue<boolean>(session)`
    select indisvalid from pg_index where indexrelid = to_regclass(${`landfall.${name}`})`
  if (isValid === undefined) return 'absent'
  return isValid ? 'valid' : 'invalid'
}
