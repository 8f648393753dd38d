import { FORMATS, formatOfType } from '../formats.ts'
import { type HeaderReader, WalkingReader } from './header-walk.ts'
import { walkIsobmff } from './isobmff.ts'
import { walkMatroska } from './matroska.ts'

export type { HeaderFacts, HeaderReader, Picture } from './header-walk.ts'

/** A reader for the header of a file of this type; undefined where we cannot read it from its first bytes. */
export function headerReaderFor(contentType: string): HeaderReader | undefined {
  switch (formatOfType(FORMATS, contentType)?.family) {
    case 'isobmff':
      return new WalkingReader(walkIsobmff)
    case 'matroska':
      return new WalkingReader(walkMatroska)
    default:
      return undefined
  }
}
