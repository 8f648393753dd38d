import type { z } from 'zod'
import { Problem } from './errors.ts'

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
