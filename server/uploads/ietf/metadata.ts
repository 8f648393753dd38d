import { parse } from 'content-disposition'
import type { Request } from 'express'
import type { ReadKey } from '../../../ledger/metadata-keys.ts'
import { Problem } from '../../http/errors.ts'
import { mediaTypeOf } from '../../http/list-header.ts'
import { refuseContentCoding } from '../content-coding.ts'
import { readMetadata, type UploadMetadata } from '../upload-metadata.ts'
import { PARTIAL_UPLOAD } from './fields.ts'

/**
 * The declaration of a file at its creation: HTTP fields that the draft names, under the keys of tus clients, and
 * `Upload-Metadata`, which clients of both protocols send here as well. Fails with `invalid-header`, and with
 * `unsupported-content-type` for encoded content, which cannot be inspected.
 */
export function metadataOf(request: Request): UploadMetadata {
  refuseContentCoding(request)
  const filename = filenameOf(request.get('content-disposition'))
  const type = request.get('content-type')
  const { metadata, metadataHeader } = readMetadata(request)
  const named: Partial<Record<ReadKey, string>> = {
    ...(filename !== undefined && { filename }),
    ...(type !== undefined && mediaTypeOf(type) !== PARTIAL_UPLOAD && { filetype: type }),
  }
  return { metadata: { ...named, ...metadata }, metadataHeader }
}

function filenameOf(header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  try {
    return parse(header).parameters.filename
  } catch {
    throw new Problem('invalid-header', 'Content-Disposition is malformed.')
  }
}
