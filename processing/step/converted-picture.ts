import sharp from 'sharp'
import type { MediaRow } from '../../ledger/media.ts'
import { isConvertible } from '../tools/converters.ts'
import { convertedScratchBytes } from '../tools/scratch-size.ts'
import { lookAtHeader } from './image-input.ts'
import { withScratch } from './scratch.ts'
import type { StepContext } from './step.ts'
import { localRun } from './tool-run.ts'

/** Pictures in one file: all are written, and one is used. Phones have two or three. */
const MAX_PAGES = 16
const DOCUMENT = { pages: 1, page: 0, hasAlpha: false }

/**
 * Runs `work` on the path of a picture that libvips can open: made of one that it cannot, or of the first page of a
 * document, and turned as it is to be shown. `step` is the step that asks; `maxSide` is in pixels, for what has no size of
 * its own. Undefined where no program on this machine can make one. Fails with `UnreadableInput` where the file cannot be
 * read, and like `withScratch`.
 */
export async function withConverted<Result>(
  context: StepContext,
  { step, maxSide }: { step: string; maxSide: number },
  work: (path: string) => Promise<Result>,
): Promise<Result | undefined> {
  const { media, signal, scratch, converters } = context
  const { content_type: contentType } = media
  if (contentType === null || !isConvertible(contentType) || !(await converters.canRead(contentType)))
    return undefined
  const { pages, page, hasAlpha } = media.kind === 'image' ? await pagesOf(context) : DOCUMENT
  if (pages > MAX_PAGES) return undefined
  // Other steps of the media item have folders of their own.
  const room = { name: `${media.id}.${step}`, bytes: convertedScratchBytes(media, { maxSide, pages }) }
  return await withScratch(scratch, room, async (folder) => {
    const { input } = await localRun(context, folder)
    const path = await converters.convert({ input, contentType, page, hasAlpha, maxSide, folder, signal })
    return path === undefined ? undefined : await work(path)
  })
}

/** Whether it is a picture that ffmpeg alone opens. */
export const isOfFfmpeg = ({ content_type: type }: Pick<MediaRow, 'content_type'>): boolean =>
  type === 'image/bmp'

/**
 * Whether libvips cannot open a picture, by its header. Its message would say so as well, but may be that of another
 * picture: its threads share them.
 */
export async function needsOther(context: StepContext): Promise<boolean> {
  const { media } = context
  return (
    isOfFfmpeg(media) ||
    (media.content_type === 'image/heic' && (await headerOf(context)).compression === 'hevc')
  )
}

/** How many pictures a HEIF has, and which is its main one. */
async function pagesOf(context: StepContext) {
  const { pages = 1, pagePrimary = 0, hasAlpha } = await headerOf(context)
  return { pages, page: pagePrimary, hasAlpha }
}

const headerOf = (context: StepContext) =>
  lookAtHeader(context, (input) => sharp(input, { limitInputPixels: false }).metadata())
