import { z } from 'zod'
import {
  attachedIdFault,
  attachedTypeFault,
  captionsFault,
  descriptionFault,
  metadataFault,
  patchedKeyFault,
  titleFault,
} from '../../hooks/description-limits.ts'
import type { MediaPatch as Patch } from '../../ledger/media-patch.ts'
import { Problem } from '../http/errors.ts'
import { parseJson, readInput } from '../http/read-input.ts'

const checked = <T extends z.ZodType>(schema: T, faultOf: (value: z.output<T>) => string | undefined): T =>
  schema.superRefine((value, context) => {
    const fault = faultOf(value)
    if (fault !== undefined) context.addIssue({ code: 'custom', message: fault })
  })

/** What a media item is attached to. */
export const AttachedTo = z.strictObject({
  type: checked(z.string(), attachedTypeFault),
  id: checked(z.string(), attachedIdFault),
})

/** What is said of a media item, as a JSON merge patch (RFC 7396). */
export const MediaPatch = z
  .strictObject({
    attachedTo: AttachedTo.nullish().describe('as a whole; null: to nothing'),
    metadata: z
      .record(z.string(), z.string().nullable())
      .nullish()
      .describe('keys to set; null removes one, and null in its place all'),
    title: checked(z.string(), titleFault).nullish(),
    description: checked(z.string(), descriptionFault).nullish(),
    captions: checked(z.array(z.string()), captionsFault)
      .nullish()
      .describe('languages; null: those that are found in the file'),
    visibility: z.enum(['private', 'public']).optional(),
  })
  .meta({ id: 'MediaPatch' })

/** Reads the patch of a media item from bytes. Fails with `invalid-request`, naming what is wrong. */
export function readMediaPatch(body: unknown): Patch {
  const json = parseJson(body)
  const patch = readInput(MediaPatch, json)
  // The members of its own: the schema leaves one of them out.
  const metadata = patch.metadata && (json as { metadata: Record<string, string | null> }).metadata
  if (!metadata) return patch
  const added = Object.fromEntries(Object.entries(metadata).filter(([, value]) => value !== null))
  const fault = Object.keys(metadata)
    .map(patchedKeyFault)
    .find((found) => found !== undefined)
  const wrong = fault ?? metadataFault(added)
  if (wrong !== undefined) throw new Problem('invalid-request', `metadata: ${wrong}`)
  return { ...patch, metadata }
}
