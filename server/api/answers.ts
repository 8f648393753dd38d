import type { z } from 'zod'
import type { Answer } from '../routes/route.ts'

/** JSON by a schema that has an `id`. */
export const json = (schema: z.ZodType, description = schema.meta()?.id ?? ''): Answer => ({
  description,
  types: ['application/json'],
  schema,
})

/** A body of one of these media types. */
export const body = (description: string, ...types: string[]): Answer => ({ description, types })

/** No body. */
export const empty = (description: string): Answer => ({ description })

/** With `DOWNLOADS=redirect`. */
export const REDIRECT = { 307: empty('To a signed address of the storage, valid for some minutes') }
