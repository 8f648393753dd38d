import { isUtf8 } from 'node:buffer'
import { Metadata } from '@tus/utils'
import type { Request } from 'express'
import { shownName } from '../../hooks/description-limits.ts'
import { isFileKey } from '../../ledger/metadata-keys.ts'
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
    if (
      more.length > 0 ||
      !Metadata.validateKey(key) ||
      (base64 !== undefined && !Metadata.validateValue(base64))
    )
      throw malformed()
    if (values.has(key)) throw malformed()
    // Other programs put metadata into objects, where this key would be their prototype.
    if (key === '__proto__') throw new Problem('invalid-metadata', 'The key "__proto__" is not accepted.')
    values.set(key, base64 === undefined ? null : textOf(key, Buffer.from(base64, 'base64')))
  }
  return {
    metadata: Object.fromEntries(values),
    metadataHeader: pairs.size === 0 ? null : [...pairs].join(','),
  }
}

/**
 * A value is told as text. What says which file it is may be in any encoding, as clients send names as their system has
 * them; what an application says is not changed on its way.
 */
function textOf(key: string, value: Buffer): string {
  if (!isFileKey(key) && !isUtf8(value))
    throw new Problem('invalid-metadata', `The value of ${shownName(key)} is not UTF-8.`)
  return value.toString('utf8')
}

const malformed = (): Problem =>
  new Problem('invalid-metadata', 'Upload-Metadata takes "key base64value" pairs separated by commas.')
