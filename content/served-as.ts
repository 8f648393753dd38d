import { create } from 'content-disposition'
import { formatOfType, KNOWN } from './formats.ts'

/** How a file is served: by the identified type, never by a client's. */
export type ServedAs = {
  contentType: string
  /** The value of `Content-Disposition`: `inline` or `attachment`, and the name of the file where it has one. */
  disposition: string
}

/**
 * How a browser gets an object of this type. Only pictures, sounds and videos of our table are shown inline, unless
 * `wished` is `attachment`; its documents are attachments. Anything else could be a page or a script: it is an attachment of a neutral type.
 * `filename` is the name under which it is saved (RFC 6266 § 4.3).
 */
export function servedAs(
  contentType: string | null,
  filename: string | null = null,
  wished: 'inline' | 'attachment' = 'inline',
): ServedAs {
  const format = contentType === null ? undefined : formatOfType(KNOWN, contentType)
  const isShown = format && format.kind !== 'document' && format.kind !== 'file'
  const type = isShown ? wished : 'attachment'
  return {
    contentType: format?.contentType ?? 'application/octet-stream',
    disposition: filename === null ? type : create(filename, { type }),
  }
}
