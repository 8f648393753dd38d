import type { QueryExecutorProvider } from 'kysely'
import { firstMigrations, migrations } from '../migrations/index.ts'
import type { Migration } from '../migrations/migration.ts'
import { hasRow, rowsOf, valuesOf } from './rows.ts'

/** The number at the beginning of a migration's name. */
export const migrationNumber = (name: string): number => Number.parseInt(name, 10)

/** Default of `Migration.minimumReader`: every release can run with the migration. */
export const OLDEST_READER = 5

/** The schema of a database, as seen by a release. */
export type SchemaState = {
  /** Whether it is a ledger at all. */
  isLedger: boolean
  /** Migrations of this release that the database lacks. */
  pending: string[]
  /** Migrations of a newer release. */
  newer: string[]
  /** Those of `newer` that this release cannot run with. */
  unreadable: string[]
}

/** The migrations of one release. */
export type Release = {
  first: Readonly<Record<string, Migration>>
  later: Readonly<Record<string, Migration>>
}

export const thisRelease: Release = { first: firstMigrations, later: migrations }

/** Compares a database with what a release needs. Creates nothing, even in an empty database. */
export async function schemaState(
  db: QueryExecutorProvider,
  release: Release = thisRelease,
): Promise<SchemaState> {
  const first = new Set(await firstMigrationsOf(db))
  const later = await laterMigrations(db)
  const finished = new Set(later.filter(({ finished_at }) => finished_at).map(({ name }) => name))
  const reader = Math.max(...Object.keys({ ...release.first, ...release.later }).map(migrationNumber))
  const newer = later.filter(({ name }) => !(name in release.later))
  return {
    isLedger: first.size > 0,
    pending: [
      ...Object.keys(release.first).filter((name) => !first.has(name)),
      ...Object.keys(release.later).filter((name) => !finished.has(name)),
    ],
    newer: newer.map(({ name }) => name),
    unreadable: newer.filter(({ minimum_reader }) => minimum_reader > reader).map(({ name }) => name),
  }
}

/** The names of all migrations whose tables and columns exist, in order; their indexes may still be built. */
export async function appliedMigrations(db: QueryExecutorProvider): Promise<string[]> {
  const later = (await laterMigrations(db)).map(({ name }) => name)
  return [...new Set([...(await firstMigrationsOf(db)), ...later])].sort()
}

async function firstMigrationsOf(db: QueryExecutorProvider): Promise<string[]> {
  if (!(await hasTable(db, 'kysely_migration'))) return []
  return await valuesOf<string>(db)`select name from landfall.kysely_migration`
}

export type LaterMigration = { name: string; minimum_reader: number; finished_at: Date | null }

/** The migrations in the ledger's own table; none before it exists. */
export async function laterMigrations(db: QueryExecutorProvider): Promise<LaterMigration[]> {
  if (!(await hasTable(db, 'schema_migrations'))) return []
  return await rowsOf<LaterMigration>(db)`
    select name, minimum_reader, finished_at from landfall.schema_migrations order by name`
}

async function hasTable(db: QueryExecutorProvider, name: string): Promise<boolean> {
  return await hasRow(db)`select 1 where to_regclass(${`landfall.${name}`}) is not null`
}

/** Why a release cannot run with this schema, as a sentence; undefined when it can. */
export function schemaProblem(state: SchemaState): string | undefined {
  if (state.unreadable.length > 0) {
    return `a newer release has made an incompatible change to the database (${state.unreadable.join(', ')}): start that release, or restore the backup made before its migration`
  }
  if (state.pending.length > 0) {
    return `the database lacks migrations (${state.pending.join(', ')}): run "landfall migrate"`
  }
  return undefined
}

/** Logged at the start where a newer release has migrated the database. */
export const NEWER_SCHEMA = 'a newer release has migrated the database; this one can run beside it'
