import { z } from 'zod'
import {
  attachedIdFault,
  attachedTypeFault,
  captionsFault,
  descriptionFault,
  metadataFault,
  patchedKeyFault,
  titleFault,
} from './description-limits.ts'

const checked = <T extends z.ZodType>(schema: T, faultOf: (value: z.output<T>) => string | undefined): T =>
  schema.superRefine((value, context) => {
    const fault = faultOf(value)
    if (fault !== undefined) context.addIssue({ code: 'custom', message: fault })
  })

/** The thing of the application that a media item is attached to. */
export const AttachedTo = z.strictObject({
  type: checked(z.string(), attachedTypeFault),
  id: checked(z.string(), attachedIdFault),
})

/** A JSON merge patch (RFC 7396) of the description of a media item. `metadataPatchFault` checks its metadata. */
export const DescriptionPatch = z.strictObject({
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
})

/** What is wrong with metadata that a patch sets or removes, as a whole sentence; undefined where nothing is. */
export function metadataPatchFault(metadata: Readonly<Record<string, string | null>>): string | undefined {
  const added = Object.fromEntries(Object.entries(metadata).filter(([, value]) => value !== null))
  const fault = Object.keys(metadata)
    .map(patchedKeyFault)
    .find((found) => found !== undefined)
  return fault ?? metadataFault(added)
}
