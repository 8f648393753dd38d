import { Metadata } from '@tus/utils'
import type { Request } from 'express'
import { Problem } from '../http/errors.ts'
import { plainElements } from '../http/list-header.ts'

const MAX_METADATA_CHARACTERS = 16 * 1024

export type UploadMetadata = {
  metadata: Record<string, string | null>
  /** The header for HEAD: as it was sent, without blanks and empty elements. Null where it has no pairs. */
  metadataHeader: string | null
}

/** tus 1.0 § Upload-Metadata, also empty or absent. `hooks/declaration.ts` checks its values. */
export function readMetadata(request: Pick<Request, 'headers'>): UploadMetadata {
  const text = request.headers['upload-metadata']
  if ((text?.length ?? 0) > MAX_METADATA_CHARACTERS) {
    throw new Problem('metadata-too-large', `At most ${MAX_METADATA_CHARACTERS} characters are accepted.`)
  }
  // A pair that is repeated as it is says nothing new; another value for the same key contradicts.
  const pairs = new Set(plainElements(text).map((element) => element.split(/[ \t]+/).join(' ')))
  const values = new Map<string, string | null>()
  for (const pair of pairs) {
    const [key = '', base64, ...more] = pair.split(' ')
    if (more.length > 0 || !isKey(key) || (base64 !== undefined && !Metadata.validateValue(base64)))
      throw malformed()
    if (values.has(key)) throw malformed()
    values.set(key, base64 === undefined ? null : Buffer.from(base64, 'base64').toString('utf8'))
  }
  return {
    metadata: Object.fromEntries(values),
    metadataHeader: pairs.size === 0 ? null : [...pairs].join(','),
  }
}

/** Other programs put metadata into objects, where this key would be their prototype. */
const isKey = (key: string): boolean => Metadata.validateKey(key) && key !== '__proto__'

const malformed = (): Problem =>
  new Problem('invalid-metadata', 'Upload-Metadata takes "key base64value" pairs separated by commas.')
