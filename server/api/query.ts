import { z } from 'zod'
import { Problem } from '../errors.ts'

/** Reads a query or body by its schema. Fails with `invalid-request`, naming the first thing that is wrong. */
export function readInput<T extends z.ZodType>(schema: T, input: unknown): z.output<T> {
  const result = schema.safeParse(input)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const where = issue?.path.join('.') ?? ''
  throw new Problem(
    'invalid-request',
    where === '' ? 'The input is malformed.' : `${where}: ${issue?.message}`,
  )
}

const Cursor = z.tuple([z.string().regex(/^\d{1,18}$/), z.string().max(64)])

/** Where a list goes on, as text that means nothing to its reader. */
export function writeCursor(row: { createdAtMicros: string; id: string }): string {
  return Buffer.from(JSON.stringify([row.createdAtMicros, row.id])).toString('base64url')
}

export function readCursor(text: string): { createdAtMicros: string; id: string } {
  let json: unknown
  try {
    json = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  } catch (error) {
    throw new Problem('invalid-request', 'cursor: not one that this server gave', { cause: error })
  }
  const [createdAtMicros, id] = readInput(Cursor, json)
  return { createdAtMicros, id }
}
