import { z } from 'zod'
import { DescriptionPatch, metadataPatchFault } from '../../hooks/described-patch.ts'
import type { MediaPatch as Patch } from '../../ledger/media-patch.ts'
import { Problem } from '../http/errors.ts'
import { parseJson, readInput } from '../http/read-input.ts'

/** What is said of a media item, as a JSON merge patch (RFC 7396). */
export const MediaPatch = z
  .strictObject({ ...DescriptionPatch.shape, visibility: z.enum(['private', 'public']).optional() })
  .meta({ id: 'MediaPatch' })

/** Reads the patch of a media item from bytes. Fails with `invalid-request`, naming what is wrong. */
export function readMediaPatch(body: unknown): Patch {
  const json = parseJson(body)
  const patch = readInput(MediaPatch, json)
  // The members of its own: the schema leaves one of them out.
  const metadata = patch.metadata && (json as { metadata: Record<string, string | null> }).metadata
  if (!metadata) return patch
  const wrong = metadataPatchFault(metadata)
  if (wrong !== undefined) throw new Problem('invalid-request', `metadata: ${wrong}`)
  return { ...patch, metadata }
}
