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

/** JSON of bytes; anything else counts as no bytes. Fails with `invalid-request`. */
export function parseJson(body: unknown): unknown {
  try {
    return JSON.parse(
      new TextDecoder('utf-8', { fatal: true }).decode(Buffer.isBuffer(body) ? body : Buffer.alloc(0)),
    )
  } catch (error) {
    throw new Problem('invalid-request', 'The body is not JSON.', { cause: error })
  }
}

/** Names that are longer are cut in messages. */
const MAX_SHOWN = 100
const shown = (name: string): string => (name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}…` : name)
