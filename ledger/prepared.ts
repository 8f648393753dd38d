import { type CompiledQuery, type RawBuilder, sql } from 'kysely'
import { MARK } from './connection.ts'
import type { Ledger } from './database.ts'

/** What is a value, or stands for one in the text of a statement. */
export type InSql<Values> = { [Name in keyof Values]: Values[Name] | RawBuilder<Values[Name]> }

/** Stands for a parameter in the text of a statement. */
export type Slots<Parameters> = <Name extends keyof Parameters>(name: Name) => RawBuilder<Parameters[Name]>

/**
 * A statement of every small request. Its text is put together once, and each connection prepares it once: building it
 * anew costs the server more than sending it, and planning it costs the database more than running it. Its columns
 * have to be listed by name, as a migration that runs meanwhile may add some. Returns what runs it.
 */
export function prepared<Parameters extends object, Row>(
  make: (slot: Slots<Parameters>) => RawBuilder<unknown>,
): (db: Ledger, parameters: Parameters) => Promise<Row[]> {
  const names = new Map<unknown, keyof Parameters>()
  let statement: CompiledQuery<Row> | undefined
  return async (db, parameters) => {
    statement ??= sql<Row>`${sql.raw(MARK)} ${make((name) => {
      const slot = {}
      names.set(slot, name)
      return sql`${slot}`
    })}`.compile(db)
    const values = statement.parameters.map((value) => {
      const name = names.get(value)
      return name === undefined ? value : parameters[name]
    })
    const query: CompiledQuery<Row> = { ...statement, parameters: values }
    return (await db.executeQuery(query)).rows
  }
}
