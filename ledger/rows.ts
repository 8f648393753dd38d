import { type QueryExecutorProvider, sql } from 'kysely'

// Statements run where they are written: `await rowsOf<Row>(db)`select …`` takes the values and fragments that Kysely's
// `sql` takes. Each function says what the statement gives.

type Database = QueryExecutorProvider
type Statement<Result> = (text: TemplateStringsArray, ...values: unknown[]) => Promise<Result>

/** All rows. */
export const rowsOf = <Row>(db: Database) => statement<Row, Row[]>(db, (rows) => rows)

/** The first row, where there is one. */
export const firstRow = <Row>(db: Database) => statement<Row, Row | undefined>(db, ([row]) => row)

/** The row of a statement that always gives one, such as a sum. Throws where it did not. */
export const onlyRow = <Row>(db: Database) => statement<Row, Row>(db, only)

/** Of a statement with one column: its values. */
export const valuesOf = <Value>(db: Database) => statement<Record<string, Value>, Value[]>(db, values)

/** Of a statement with one column: the first value, where there is a row. */
export const firstValue = <Value>(db: Database) =>
  statement<Record<string, Value>, Value | undefined>(db, (rows) => values(rows)[0])

/** Of a statement with one column that always gives a row: its value. Throws where it gave none. */
export const onlyValue = <Value>(db: Database) =>
  statement<Record<string, Value>, Value>(db, (rows) => only(values(rows)))

/** Whether there is a row. */
export const hasRow = (db: Database) => statement(db, (rows) => rows.length > 0)

/** Runs it for its effect alone. */
export const run = (db: Database) => statement(db, () => {})

/** How many rows it inserts, updates or deletes. */
export const changedRows =
  (db: Database): Statement<number> =>
  async (text, ...values) =>
    Number((await sql(text, ...values).execute(db)).numAffectedRows ?? 0)

const statement =
  <Row, Result>(db: Database, read: (rows: Row[]) => Result): Statement<Result> =>
  async (text, ...values) =>
    read((await sql<Row>(text, ...values).execute(db)).rows)

const values = <Value>(rows: readonly Record<string, Value>[]): Value[] =>
  rows.flatMap((row) => Object.values(row))

function only<Found>([found]: readonly Found[]): Found {
  if (found === undefined) throw new Error('a statement that always gives a row gave none')
  return found
}
