import { sql } from 'kysely'
import type { Ledger, LedgerTransaction } from './database.ts'
import { hasRow, onlyValue, rowsOf, run, valuesOf } from './rows.ts'
import { appliedMigrations } from './schema-state.ts'

/** A waiting or running job: the name of its queue, and its data. */
export type DumpedJob = { name: string; data: unknown }

export type Dump = {
  /** The database's clock at the moment of the dump. */
  takenAt: Date
  /** The migrations of the schema that the rows have, in order. */
  migrations: string[]
  rows: Record<string, number>
}

/** Rows that are read at a time. */
const BATCH = 500
/** Leases belong to running requests. The migrator writes its own tables. */
const LEFT_OUT = ['upload_locks', 'kysely_migration', 'kysely_migration_lock', 'schema_migrations']

/**
 * Reads the whole ledger as of one moment, one JSON object per row, as text: portable to another PostgreSQL, and exact,
 * as no number is parsed by JavaScript. Does not block writers. `write` gets the rows of one table after the other.
 */
export async function dumpLedger(
  db: Ledger,
  write: {
    rows(table: string, rows: readonly string[]): Promise<void>
    jobs(jobs: readonly DumpedJob[]): Promise<void>
  },
): Promise<Dump> {
  return await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (trx) => {
      await withoutTimeouts(trx)
      const takenAt = await onlyValue<Date>(trx)`select now()`
      const counts: Record<string, number> = {}
      for (const table of await tablesInOrder(trx)) {
        counts[table] = await dumpTable(trx, table, write.rows)
      }
      const jobs = await rowsOf<DumpedJob>(trx)`
        select name, data from pgboss.job where state in ('created', 'retry', 'active')
         order by created_on`
      await write.jobs(jobs)
      return { takenAt, migrations: await appliedMigrations(trx), rows: counts }
    })
}

async function dumpTable(
  trx: LedgerTransaction,
  table: string,
  write: (table: string, rows: readonly string[]) => Promise<void>,
): Promise<number> {
  const id = sql.id('landfall', table)
  await run(trx)`declare dumped no scroll cursor for select to_jsonb(t)::text as row from ${id} t`
  let count = 0
  for (;;) {
    const rows = await valuesOf<string>(trx)`fetch ${sql.lit(BATCH)} from dumped`
    if (rows.length === 0) break
    await write(table, rows)
    count += rows.length
  }
  await run(trx)`close dumped`
  return count
}

/** Written by migrations and by a starting server. */
const FILLED_BY_ITSELF = ['turn_clocks', 'secrets', 'storage_places']

/** Whether nothing was ever uploaded to this ledger, or configured in it (quotas, webhooks). */
export async function isEmptyLedger(db: Ledger): Promise<boolean> {
  return await db.transaction().execute(async (trx) => {
    for (const table of await tablesInOrder(trx)) {
      if (FILLED_BY_ITSELF.includes(table)) continue
      if (await hasRow(trx)`select 1 from ${sql.id('landfall', table)} limit 1`) return false
    }
    return true
  })
}

/** Whether a database has only tables and views of the system and of extensions. */
export async function isUnusedDatabase(db: Ledger): Promise<boolean> {
  const rows = await rowsOf(db)`
    select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'f')
       and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
       and not exists (
         select 1 from pg_depend d
          where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
     limit 1`
  return rows.length === 0
}

/**
 * Replaces the content of a ledger, whose schema must be that of the dump, in one transaction. `read` gives the rows of
 * a table in batches; `andThen` runs in the transaction after all of them.
 */
export async function loadLedger(
  db: Ledger,
  read: (table: string) => AsyncIterable<readonly string[]>,
  andThen: (trx: LedgerTransaction) => Promise<void>,
): Promise<Record<string, number>> {
  return await db.transaction().execute(async (trx) => {
    await withoutTimeouts(trx)
    const tables = await tablesInOrder(trx)
    const ids = tables.map((table) => sql.id('landfall', table))
    await run(trx)`truncate ${sql.join(ids)}, landfall.upload_locks`
    const counts: Record<string, number> = {}
    for (const table of tables) counts[table] = await loadTable(trx, table, read(table))
    await andThen(trx)
    return counts
  })
}

async function loadTable(
  trx: LedgerTransaction,
  table: string,
  batches: AsyncIterable<readonly string[]>,
): Promise<number> {
  const id = sql.id('landfall', table)
  const columns = await rowsOf<{ column_name: string; sequence: string | null }>(trx)`
    select column_name, pg_get_serial_sequence('landfall.' || quote_ident(table_name), column_name) as sequence
      from information_schema.columns
     where table_schema = 'landfall' and table_name = ${table} and is_generated = 'NEVER'
     order by ordinal_position`
  const names = sql.join(columns.map(({ column_name }) => sql.id(column_name)))
  // What triggers would add was dumped as well, such as webhook deliveries of events.
  await run(trx)`alter table ${id} disable trigger user`
  let count = 0
  for await (const rows of batches) {
    await run(trx)`insert into ${id} (${names}) overriding system value
      select ${names} from jsonb_populate_recordset(null::${id}, ${`[${rows.join(',')}]`}::jsonb)`
    count += rows.length
  }
  await run(trx)`alter table ${id} enable trigger user`
  for (const { column_name, sequence } of columns) {
    if (sequence === null) continue
    await run(trx)`
      select setval(${sequence}::regclass, coalesce(max(${sql.id(column_name)}), 0) + 1, false) from ${id}`
  }
  return count
}

/** Every table of the ledger, referenced tables first. */
async function tablesInOrder(trx: LedgerTransaction): Promise<string[]> {
  const tables = await valuesOf<string>(trx)`
    select relname from pg_class
     where relnamespace = 'landfall'::regnamespace and relkind in ('r', 'p') and not relispartition
     order by relname`
  const references = await rowsOf<{ from: string; to: string }>(trx)`
    select f.relname as "from", t.relname as "to" from pg_constraint c
      join pg_class f on f.oid = c.conrelid join pg_class t on t.oid = c.confrelid
     where c.contype = 'f' and f.oid <> t.oid and f.relnamespace = 'landfall'::regnamespace`
  const left = new Set(tables.filter((name) => !LEFT_OUT.includes(name)))
  const ordered: string[] = []
  while (left.size > 0) {
    const free = [...left].filter((name) => !references.some(({ from, to }) => from === name && left.has(to)))
    if (free.length === 0) throw new Error(`tables refer to each other: ${[...left].join(', ')}`)
    for (const name of free) left.delete(name)
    ordered.push(...free)
  }
  return ordered
}

async function withoutTimeouts(trx: LedgerTransaction): Promise<void> {
  for (const name of ['statement_timeout', 'idle_in_transaction_session_timeout'])
    await run(trx)`select set_config(${name}, '0', true)`
}
