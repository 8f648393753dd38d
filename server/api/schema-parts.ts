import { z } from 'zod'

// What several schemas have in common.

export const Time = z.iso.datetime()
export const Bytes = z.number().int().nonnegative()

export const AttachedTo = z.object({ type: z.string(), id: z.string() }).meta({ id: 'AttachedTo' })

export const described = {
  attachedTo: AttachedTo.nullable().describe('what it belongs to, as the application says'),
  title: z.string().nullable(),
  description: z.string().nullable(),
  metadata: z
    .record(z.string(), z.string().nullable())
    .describe("the application's own; null for a key without a value"),
}
