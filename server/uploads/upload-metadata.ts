import { Metadata } from '@tus/utils'
import type { Request } from 'express'
import { Problem } from '../http/errors.ts'

const MAX_METADATA_CHARACTERS = 16 * 1024

/** tus 1.0 § Upload-Metadata. `hooks/declaration.ts` checks its values. */
export function readMetadata(request: Request): Record<string, string | null> {
  const text = request.headers['upload-metadata']
  if (text === undefined) return {}
  if (text.length > MAX_METADATA_CHARACTERS) {
    throw new Problem('metadata-too-large', `At most ${MAX_METADATA_CHARACTERS} characters are accepted.`)
  }
  try {
    return Metadata.parse(String(text))
  } catch {
    throw new Problem(
      'invalid-metadata',
      'Upload-Metadata takes "key base64value" pairs separated by commas.',
    )
  }
}
