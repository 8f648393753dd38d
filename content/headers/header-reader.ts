import type { FileView } from '../file-view.ts'
import { FORMATS, type Format, formatOfType } from '../formats.ts'
import { type HeaderFacts, type HeaderReader, NO_FACTS, WalkingReader, walkFile } from './header-walk.ts'
import { walkIsobmff, walkWholeIsobmff } from './isobmff.ts'
import { walkMatroska } from './matroska.ts'

export type { HeaderFacts, HeaderReader, Picture } from './header-walk.ts'

/** How the header of a family is read from its first bytes, and from a whole file. */
const WALKS = {
  isobmff: { first: walkIsobmff, whole: walkWholeIsobmff },
  matroska: { first: walkMatroska, whole: walkMatroska },
}

const walksOf = (family: string | undefined) =>
  family === 'isobmff' || family === 'matroska' ? WALKS[family] : undefined

/** Undefined where the header of this type cannot be read from the first bytes. */
export function headerReaderFor(contentType: string): HeaderReader | undefined {
  const walks = walksOf(formatOfType(FORMATS, contentType)?.family)
  return walks && new WalkingReader(walks.first)
}

/** The header of a whole file, as far as this format has one that is read here. */
export async function readHeader({ family }: Format, file: FileView): Promise<HeaderFacts> {
  const walks = walksOf(family)
  return walks ? await walkFile(walks.whole, file) : NO_FACTS
}
