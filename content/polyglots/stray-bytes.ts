import { type FileView, type Stray, StructureUnreadable } from '../file-view.ts'
import type { Format } from '../formats.ts'
import { strayInIsobmff } from './isobmff.ts'
import { strayInMatroska } from './matroska.ts'
import { strayInGif, strayInJpeg, strayInPng } from './pictures.ts'
import { strayInRiff } from './riff.ts'
import { strayInFlac, strayInFrames, strayInOgg } from './sounds.ts'

/** Where a structure cannot be parsed to its end, this much of the end of the file counts as stray. */
const TAIL_BYTES = 64 * 1024

const FINDERS: Record<string, (file: FileView) => AsyncIterable<Stray>> = {
  isobmff: strayInIsobmff,
  'image/avif': strayInIsobmff,
  'image/heic': strayInIsobmff,
  matroska: strayInMatroska,
  'video/x-msvideo': strayInRiff,
  'audio/wav': strayInRiff,
  'image/webp': strayInRiff,
  'image/jpeg': strayInJpeg,
  'image/png': strayInPng,
  'image/gif': strayInGif,
  'audio/mpeg': strayInFrames,
  'audio/aac': strayInFrames,
  'audio/flac': strayInFlac,
  ogg: strayInOgg,
}

/**
 * The bytes of a file that its format does not use: padding, chunks of unknown kinds, and what follows its end.
 * Declared text (titles, comments, EXIF, XMP) and media data are not among them.
 */
export async function* strayBytes(format: Format, file: FileView): AsyncIterable<Stray> {
  try {
    yield* FINDERS[format.family]?.(file) ?? []
  } catch (error) {
    if (!(error instanceof StructureUnreadable)) throw error
    yield { start: Math.max(0, file.size - TAIL_BYTES), end: file.size }
  }
}
