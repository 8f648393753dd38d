import { FORMATS, formatOfType } from '../formats.ts'
import { type HeaderReader, WalkingReader } from './header-walk.ts'
import { walkIsobmff } from './isobmff.ts'
import { walkMatroska } from './matroska.ts'

export type { HeaderFacts, HeaderReader, Picture } from './header-walk.ts'

/** Undefined where the header of this type cannot be read from the first bytes. */
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
