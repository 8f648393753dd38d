import { FORMATS, formatOfType } from './formats.ts'

/** How a file is served: always what we identified, never what a client said. */
export type ServedAs = { contentType: string; disposition: 'inline' | 'attachment' }

const UNKNOWN: ServedAs = { contentType: 'application/octet-stream', disposition: 'attachment' }

/**
 * How a browser gets an object of this type. Only the pictures, sounds and videos of our own table are shown
 * in place. Anything else could be a page or a script (HTML, SVG, XML, PDF): it is only ever saved, and its
 * type is not told.
 */
export function servedAs(contentType: string | null): ServedAs {
  const format = contentType === null ? undefined : formatOfType(FORMATS, contentType)
  return format ? { contentType: format.contentType, disposition: 'inline' } : UNKNOWN
}
