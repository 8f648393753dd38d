import type { Migration } from 'kysely/migration'
import * as ledger from './0001-ledger.ts'

/** Every migration by name, in order. Append only: a released migration is never edited. */
export const migrations: Record<string, Migration> = {
  '0001-ledger': ledger,
}
