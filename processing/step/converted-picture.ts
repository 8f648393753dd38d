import { isConvertible } from '../tools/converters.ts'
import { convertedScratchBytes } from '../tools/scratch-size.ts'
import { withScratch } from './scratch.ts'
import type { StepContext } from './step.ts'
import { localRun } from './tool-run.ts'

type Context = Pick<StepContext, 'media' | 'objects' | 'signal' | 'scratch' | 'converters'>

/**
 * Runs `work` on the path of a JPEG that is made of a picture which libvips cannot open, or of the first page of a
 * document. `maxSide` is in pixels, for what has no size of its own. Undefined where no program on this machine can make
 * one. Fails with `UnreadableInput` where the file cannot be read, and like `withScratch`.
 */
export async function withConverted<Result>(
  { media, objects, signal, scratch, converters }: Context,
  maxSide: number,
  work: (path: string) => Promise<Result>,
): Promise<Result | undefined> {
  const { content_type: contentType } = media
  if (contentType === null || !isConvertible(contentType) || !(await converters.canRead(contentType)))
    return undefined
  const room = { name: `${media.id}.picture`, bytes: convertedScratchBytes(media, maxSide) }
  return await withScratch(scratch, room, async (folder) => {
    const { input } = await localRun({ media, objects, signal }, folder)
    const path = await converters.convert({ input, contentType, maxSide, folder, signal })
    return path === undefined ? undefined : await work(path)
  })
}
