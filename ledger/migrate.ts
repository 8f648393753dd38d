import { Migrator } from 'kysely/migration'
import { migrations } from '../migrations/index.ts'
import type { Ledger } from './database.ts'

function migratorFor(db: Ledger): Migrator {
  return new Migrator({
    db,
    provider: { getMigrations: async () => migrations },
    migrationTableSchema: 'landfall',
  })
}

/**
 * Brings the schema up to date. Safe to run from many nodes at once: Kysely's migrator takes an
 * advisory lock. Returns the names of the migrations it applied; throws the first failure.
 */
export async function migrateToLatest(db: Ledger): Promise<string[]> {
  const { error, results } = await migratorFor(db).migrateToLatest()
  if (error) throw error
  return (results ?? []).filter((r) => r.status === 'Success').map((r) => r.migrationName)
}

/** The migrations this code needs and the database lacks. */
export async function pendingMigrations(db: Ledger): Promise<string[]> {
  const all = await migratorFor(db).getMigrations()
  return all.filter((m) => m.executedAt === undefined).map((m) => m.name)
}

/** What is in a database: whether it is a ledger at all, and the migrations it lacks. Creates nothing. */
export async function schemaState(db: Ledger): Promise<{ isLedger: boolean; pending: string[] }> {
  const pending = await pendingMigrations(db)
  return { isLedger: pending.length < Object.keys(migrations).length, pending }
}

/**
 * Brings an empty database to the schema that these migrations made, and no further. Returns those of them that this
 * release does not know: then nothing was done.
 */
export async function migrateToSchemaOf(db: Ledger, names: readonly string[]): Promise<string[]> {
  const unknown = names.filter((name) => !(name in migrations))
  const last = names.at(-1)
  if (unknown.length > 0 || last === undefined) return unknown
  const { error } = await migratorFor(db).migrateTo(last)
  if (error) throw error
  return []
}
