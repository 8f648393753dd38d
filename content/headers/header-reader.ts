import type { FileView } from '../file-view.ts'
import { FORMATS, type Format, formatOfType } from '../formats.ts'
import {
  type Feed,
  type HeaderFacts,
  type HeaderReader,
  NO_FACTS,
  type Walk,
  WalkingReader,
  walkFile,
} from './header-walk.ts'
import { walkIsobmff, walkWholeIsobmff } from './isobmff.ts'
import { walkMatroska } from './matroska.ts'
import { walkBmp, walkHeif, walkJpeg, walkPng, walkWebp } from './pictures.ts'

export type { HeaderFacts, HeaderReader, Picture } from './header-walk.ts'

type Walker = (feed: Feed) => Walk

/** How the header of a family is read from its first bytes, and from a whole file where more can be learnt from that. */
const WALKS: Readonly<Record<string, { first: Walker; whole?: Walker }>> = {
  isobmff: { first: walkIsobmff, whole: walkWholeIsobmff },
  matroska: { first: walkMatroska, whole: walkMatroska },
  'image/jpeg': { first: walkJpeg },
  'image/png': { first: walkPng },
  'image/webp': { first: walkWebp },
  'image/avif': { first: walkHeif },
  'image/heic': { first: walkHeif },
  'image/bmp': { first: walkBmp },
}

/** Undefined where the header of this type cannot be read from the first bytes. */
export function headerReaderFor(contentType: string): HeaderReader | undefined {
  const walks = WALKS[formatOfType(FORMATS, contentType)?.family ?? '']
  return walks && new WalkingReader(walks.first)
}

/** The header of a whole file, as far as this format has one that is read here. */
export async function readHeader({ family }: Format, file: FileView): Promise<HeaderFacts> {
  const walk = WALKS[family]?.whole
  return walk ? await walkFile(walk, file) : NO_FACTS
}
