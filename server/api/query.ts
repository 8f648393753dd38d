import { z } from 'zod'
import { parseMediaId } from '../../ledger/ids.ts'
import { parseJson } from '../../system/parse-json.ts'
import { Problem } from '../http/errors.ts'

// Only values that a row could have reach the ledger: Postgres refuses a NUL, for example.
const Cursor = z.tuple([
  z.string().regex(/^\d{1,18}$/),
  z.string().refine((id) => parseMediaId(id) !== undefined),
])

/** Where a list continues, as an opaque text. */
export function writeCursor(row: { createdAtMicros: string; id: string }): string {
  return Buffer.from(JSON.stringify([row.createdAtMicros, row.id])).toString('base64url')
}

/** One page of a list: `rows` has one more than the limit where there is another page, whose cursor `write` gives. */
export function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  view: (row: Row) => Item,
  write: (last: Row) => string,
): { items: Item[]; nextCursor: string | null } {
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  return { items: page.map(view), nextCursor: rows.length > limit && last ? write(last) : null }
}

/** Fails with `invalid-request` for anything that this server did not write. */
export function readCursor(text: string): { createdAtMicros: string; id: string } {
  const result = Cursor.safeParse(parseJson(Buffer.from(text, 'base64url').toString('utf8')))
  if (!result.success)
    throw new Problem('invalid-request', 'cursor: is not a nextCursor value from this server')
  const [createdAtMicros, id] = result.data
  return { createdAtMicros, id }
}

/** Where a list by position continues. */
export function writePosition(position: number): string {
  return Buffer.from(String(position)).toString('base64url')
}

/** Fails with `invalid-request` for anything that this server did not write. */
export function readPosition(text: string): number {
  const position = Buffer.from(text, 'base64url').toString('utf8')
  if (!/^\d{1,15}$/.test(position))
    throw new Problem('invalid-request', 'cursor: is not a nextCursor value from this server')
  return Number(position)
}
