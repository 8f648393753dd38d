import { setTimeout as sleep } from 'node:timers/promises'
import { Migrator } from 'kysely/migration'
import pg from 'pg'
import type { Migration } from '../migrations/migration.ts'
import { applyIndexChange } from './concurrent-indexes.ts'
import type { Ledger } from './database.ts'
import { onlyValue, run } from './rows.ts'
import {
  laterMigrations,
  NEWER_SCHEMA,
  OLDEST_READER,
  type Release,
  schemaProblem,
  schemaState,
  thisRelease,
} from './schema-state.ts'

/** Any number. The holder of this session lock migrates. */
const LOCK = 7_263_494
const LOCK_RETRY_MS = 300
/** How long a change of a table may wait for its lock: later requests wait behind it. */
const TABLE_LOCK_MS = 1_000
const MIN_PAUSE_MS = 500
const MAX_PAUSE_MS = 5_000
/** How long a change is tried again while locks are held by others. */
const LOCK_RETRIES_MS = 10 * 60_000
/** lock_not_available, deadlock_detected. */
const TRY_AGAIN = ['55P03', '40P01']

export type MigrateOptions = {
  /** Called before each migration and index, unless the database is empty, and while another process migrates. */
  onProgress?: (message: string) => void
  release?: Release
}

/**
 * Brings the schema up to date and returns the names of the applied migrations; throws the first failure. Safe to call
 * from many nodes at once, beside running servers: one migrates at a time, no table is locked for longer than a second,
 * and large indexes are built concurrently. After a crash it continues where it was. A schema that a newer release has
 * migrated is left alone. The connection should have `MAINTENANCE_DEADLINES`: an index may take hours.
 */
export async function migrateToLatest(
  db: Ledger,
  { onProgress = () => {}, release = thisRelease }: MigrateOptions = {},
): Promise<string[]> {
  return await db.connection().execute(async (session) => {
    const { pending, unreadable } = await schemaState(session, release)
    if (pending.length === 0 || unreadable.length > 0) return []
    await takeLock(session, onProgress)
    try {
      return await applyAll(session, release, onProgress)
    } finally {
      // The lock is gone with a lost connection.
      await run(session)`select pg_advisory_unlock(${LOCK})`.catch(() => {})
    }
  })
}

/**
 * Polls instead of waiting in the database: a waiting statement holds a snapshot, and a concurrent index build waits
 * for every older snapshot.
 */
async function takeLock(session: Ledger, onProgress: (message: string) => void): Promise<void> {
  let isSaid = false
  for (;;) {
    if (await onlyValue<boolean>(session)`select pg_try_advisory_lock(${LOCK})`) return
    if (!isSaid) onProgress('waiting for another process that migrates the database')
    isSaid = true
    await sleep(LOCK_RETRY_MS)
  }
}

async function applyAll(
  session: Ledger,
  release: Release,
  onProgress: (message: string) => void,
): Promise<string[]> {
  const applied: string[] = []
  const due = new Set((await schemaState(session, release)).pending)
  // In an empty database nothing takes long, and nobody waits for it.
  const isNew = Object.keys(release.first).every((name) => due.has(name))
  const report = isNew ? () => {} : onProgress
  // Kysely's migrator refuses a table with migrations that it was not given.
  if (Object.keys(release.first).some((name) => due.has(name))) {
    applied.push(...(await applyFirst(session, release)))
  }
  await run(session)`create table if not exists landfall.schema_migrations (
    name text primary key,
    minimum_reader integer not null,
    applied_at timestamptz not null default now(),
    -- Null while indexes of it are still to be built.
    finished_at timestamptz
  )`
  const begun = new Set((await laterMigrations(session)).map(({ name }) => name))
  for (const [name, migration] of Object.entries(release.later)) {
    if (!due.has(name)) continue
    report(`applies migration ${name}`)
    if (!begun.has(name)) await withLockRetries(name, () => applyOne(session, name, migration))
    await backfill(session, name, migration)
    for (const change of migration.indexes ?? []) {
      await withLockRetries(name, () => applyIndexChange(session, change, report))
    }
    await run(session)`update landfall.schema_migrations set finished_at = now() where name = ${name}`
    applied.push(name)
  }
  return applied
}

async function applyFirst(session: Ledger, release: Release): Promise<string[]> {
  const migrator = new Migrator({
    db: session,
    provider: { getMigrations: async () => ({ ...release.first }) },
    migrationTableSchema: 'landfall',
  })
  const { error, results } = await migrator.migrateToLatest()
  if (error) throw error
  return (results ?? []).filter((r) => r.status === 'Success').map((r) => r.migrationName)
}

async function applyOne(session: Ledger, name: string, migration: Migration): Promise<void> {
  const minimumReader = migration.minimumReader ?? OLDEST_READER
  await session.transaction().execute(async (trx) => {
    await run(trx)`select set_config('lock_timeout', ${`${TABLE_LOCK_MS}ms`}, true)`
    await migration.up(trx)
    await run(trx)`
      insert into landfall.schema_migrations (name, minimum_reader) values (${name}, ${minimumReader})`
    // Releases that read only Kysely's table refuse to start when it has migrations that they do not know.
    if (minimumReader > OLDEST_READER) {
      await run(trx)`
        insert into landfall.kysely_migration (name, "timestamp") values (${name}, ${new Date().toISOString()})
        on conflict do nothing`
    }
  })
}

/** In batches, each a transaction of its own. */
async function backfill(session: Ledger, name: string, migration: Migration): Promise<void> {
  for (let after: string | undefined = ''; after !== undefined; ) {
    const from: string = after
    await withLockRetries(name, async () => {
      after = await migration.backfill?.(session, from)
    })
  }
}

/** Tries again, ever more slowly, while a lock is held by others. */
async function withLockRetries(name: string, work: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + LOCK_RETRIES_MS
  for (let pauseMs = MIN_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
    try {
      await work()
      return
    } catch (error) {
      const isLocked = error instanceof pg.DatabaseError && TRY_AGAIN.includes(error.code ?? '')
      if (!isLocked) throw error
      if (performance.now() > deadline) {
        throw new Error(
          `migration ${name} did not get the locks that it needs: end long transactions and try again`,
          { cause: error },
        )
      }
    }
    await sleep(pauseMs * (0.5 + Math.random() / 2))
  }
}

/**
 * Run by every process before it uses the ledger: fails with an explanation where this release cannot run with the
 * schema, and warns of the migrations of a newer release with which it can.
 */
export async function requireSchema(
  db: Ledger,
  log: { warn(details: object, message: string): void },
): Promise<void> {
  const state = await schemaState(db)
  const problem = schemaProblem(state)
  if (problem !== undefined) throw new Error(problem)
  if (state.newer.length > 0) log.warn({ migrations: state.newer }, NEWER_SCHEMA)
}

/**
 * Brings an empty database to the schema of these migrations, and no further. Returns those that this release does not
 * know: then nothing was done.
 */
export async function migrateToSchemaOf(db: Ledger, names: readonly string[]): Promise<string[]> {
  const { first, later } = thisRelease
  const unknown = names.filter((name) => !(name in first || name in later))
  if (unknown.length > 0) return unknown
  const among = (all: Release['later']) =>
    Object.fromEntries(Object.entries(all).filter(([name]) => names.includes(name)))
  await migrateToLatest(db, { release: { first: among(first), later: among(later) } })
  return []
}
