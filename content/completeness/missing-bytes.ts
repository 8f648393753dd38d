import { type FileView, StructureUnreadable } from '../file-view.ts'
import type { Format } from '../formats.ts'
import { shortfallOfAsf } from './asf.ts'
import { shortfallOfCaf } from './caf.ts'
import { shortfallOfMp3 } from './mp3.ts'
import { shortfallOfOgg } from './ogg.ts'
import { shortfallOfBmp, shortfallOfGif, shortfallOfJpeg } from './pictures.ts'
import { shortfallOfAiff, shortfallOfRiff } from './riff.ts'

/** What a file lacks by its own structure, for people: "its last page is cut off"; undefined for nothing. */
export type Shortfall = string | undefined

const FINDERS: Record<string, (file: FileView) => Promise<Shortfall>> = {
  'video/x-msvideo': shortfallOfRiff,
  'audio/wav': shortfallOfRiff,
  'image/webp': shortfallOfRiff,
  'audio/aiff': shortfallOfAiff,
  asf: shortfallOfAsf,
  'audio/x-caf': shortfallOfCaf,
  'image/bmp': shortfallOfBmp,
  'audio/mpeg': shortfallOfMp3,
  ogg: shortfallOfOgg,
  'image/jpeg': shortfallOfJpeg,
  'image/gif': shortfallOfGif,
}

/**
 * Compares a file with the length that its own header gives, or looks where its data ends: a decoder is content with
 * what there is, or fills the rest. Containers whose demuxers report it themselves are left to those.
 */
export async function findShortfall(format: Format, file: FileView): Promise<Shortfall> {
  try {
    return await FINDERS[format.family]?.(file)
  } catch (error) {
    // A structure that makes no sense is left to the decoder.
    if (error instanceof StructureUnreadable) return undefined
    throw error
  }
}
