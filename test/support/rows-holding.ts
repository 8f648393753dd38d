import { sql } from 'kysely'
import type { Ledger } from '../../ledger/database.ts'

/** Every table of the ledger and of the queue, partitions left out, as `schema.name`. */
export async function everyTable(db: Ledger): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select n.nspname || '.' || c.relname as name
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname in ('landfall', 'pgboss') and c.relkind in ('r', 'p') and not c.relispartition
     order by 1`.execute(db)
  return rows.map(({ name }) => name)
}

/** Every row of every table that holds one of these texts anywhere, as `table: row`. */
export async function rowsHolding(db: Ledger, texts: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const table of await everyTable(db)) {
    // As JSON, in which a separator of tenant and owner is written out.
    const { rows } = await sql<{ row: string }>`
      select to_jsonb(t)::text as row from ${sql.table(table)} t
       where exists (select from unnest(${texts}::text[]) one where strpos(to_jsonb(t)::text, one) > 0)`.execute(
      db,
    )
    found.push(...rows.map(({ row }) => `${table}: ${row}`))
  }
  return found
}
