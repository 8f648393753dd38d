import type { z } from 'zod'
import { checkMetadata } from '../../hooks/declaration.ts'
import { Refusal } from '../../hooks/refusal.ts'
import { Problem } from '../http/errors.ts'
import type { Described } from './schemas.ts'

/**
 * What a body says of a file, as the metadata of its upload: by the keys that other clients use. Fails with
 * `invalid-request`.
 */
export function metadataOf({
  metadata,
  attachedTo,
  title,
  description,
  captions,
}: z.output<typeof Described>): Record<string, string | null> {
  const all: Record<string, string | null> = {
    ...metadata,
    ...(attachedTo ? { attachedToType: attachedTo.type, attachedToId: attachedTo.id } : {}),
    ...(title === undefined ? {} : { title }),
    ...(description === undefined ? {} : { description }),
    ...(captions === undefined ? {} : { captions: captions.join(',') }),
  }
  try {
    checkMetadata(all)
  } catch (error) {
    throw error instanceof Refusal ? new Problem('invalid-request', error.message) : error
  }
  return all
}
