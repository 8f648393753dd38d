import type { FileView } from '../file-view.ts'
import { endOfGif, endOfJpeg } from '../polyglots/pictures.ts'
import { zeroTail } from './zero-tail.ts'

/** More than coded data ends with by chance. */
const MIN_ZERO_BYTES = 64
const GIF_TRAILER = 0x3b

/**
 * A JPEG without its end marker is complete where its data is, which the decoder tells; but not where zeros are in the
 * place of both, which decode to something.
 */
export async function shortfallOfJpeg(file: FileView): Promise<string | undefined> {
  const zeros = await zeroTail(file)
  if (zeros < MIN_ZERO_BYTES || (await endOfJpeg(file)).isMarked) return undefined
  return `its last ${zeros} bytes are zeros`
}

/** A GIF may lack its trailer, and nothing else: all of its frames count. */
export async function shortfallOfGif(file: FileView): Promise<string | undefined> {
  if ((await file.take(file.size - 1, 1))[0] === GIF_TRAILER) return undefined
  const { isMarked, at } = await endOfGif(file)
  if (isMarked || at === file.size) return undefined
  return at > file.size ? 'one of its frames is cut off' : 'what follows one of its frames is not a frame'
}
