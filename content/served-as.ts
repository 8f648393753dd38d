import { FORMATS, formatOfType } from './formats.ts'

/** How a file is served: by the identified type, never by a client's. */
export type ServedAs = { contentType: string; disposition: 'inline' | 'attachment' }

const UNKNOWN: ServedAs = { contentType: 'application/octet-stream', disposition: 'attachment' }

/**
 * How a browser gets an object of this type. Only pictures, sounds and videos of our table are shown inline. Anything
 * else could be a page or a script (HTML, SVG, XML, PDF): it is an attachment of a neutral type.
 */
export function servedAs(contentType: string | null): ServedAs {
  const format = contentType === null ? undefined : formatOfType(FORMATS, contentType)
  return format ? { contentType: format.contentType, disposition: 'inline' } : UNKNOWN
}
