import type { z } from 'zod'
import { Problem } from './errors.ts'

/** Reads a query or body by its schema. Fails with `invalid-request`, naming the first thing that is wrong. */
export function readInput<T extends z.ZodType>(schema: T, input: unknown): z.output<T> {
  const result = schema.safeParse(input)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  // What is not known is named as what is wrong.
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : []
  const where = [...(issue?.path ?? []), ...unknown].join('.')
  const what = unknown.length > 0 ? 'is not known here' : issue?.message
  throw new Problem('invalid-request', where === '' ? 'The input is malformed.' : `${shown(where)}: ${what}`)
}

/** Names that are longer are cut in messages. */
const MAX_SHOWN = 100
const shown = (name: string): string => (name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}…` : name)
