import { FORMATS, formatOfType } from '../../content/formats.ts'
import { servedAs } from '../../content/served-as.ts'
import { dropRendition, findRendition, recordRendition } from '../../ledger/media.ts'
import { publishedKey } from '../../storage/store/keys.ts'
import { ObjectTooLarge } from '../../storage/store/objects.ts'
import { copyScratchBytes } from '../tools/scratch-size.ts'
import { ToolFailed, UnreadableInput } from '../tools/tool-errors.ts'
import { NoScratchSpace, withScratch } from './scratch.ts'
import type { StepContext } from './step.ts'
import { writeStripped } from './stripped-file.ts'

export type PublicCopy =
  | { kind: 'made'; key: string }
  /** The file stays private. */
  | { kind: 'none'; reason: string }
  /** The media item has ended meanwhile, and will take with it what was begun. */
  | { kind: 'ended' }

/**
 * Makes what everybody may have of a file, which is never the original: of an image what another step has drawn anew,
 * of a video or a sound a remux, both without what cameras and programs have noted. Doing it again replaces it.
 */
export async function makePublicCopy(context: StepContext, template: string): Promise<PublicCopy> {
  const copy =
    context.media.kind === 'image' ? await ofImage(context, template) : await ofStreams(context, template)
  if (copy.kind === 'none') await withdraw(context)
  return copy
}

async function ofImage(context: StepContext, template: string): Promise<PublicCopy> {
  const { media, db, objects } = context
  const stripped = await findRendition(db, media, 'image')
  if (!stripped) return { kind: 'none', reason: 'there is no image without its metadata' }
  const copy = await recordCopy(context, template, stripped.size)
  if (copy.kind === 'made')
    await objects.copy(stripped.storage_key, copy.key, servedAs(media.content_type), null)
  return copy
}

async function ofStreams(context: StepContext, template: string): Promise<PublicCopy> {
  const { media, objects, scratch, signal } = context
  try {
    const room = { name: `${media.id}.public`, bytes: copyScratchBytes(media) }
    return await withScratch(scratch, room, async (folder): Promise<PublicCopy> => {
      const { path, size } = await writeStripped(context, folder)
      const copy = await recordCopy(context, template, size)
      if (copy.kind === 'made') await objects.putFile(copy.key, path, servedAs(media.content_type), signal)
      return copy
    })
  } catch (error) {
    if (signal.aborted) throw error
    if (isOutOfTime(error) && context.isLastAttempt)
      return await servedCopy(context, 'it takes too long to write it without its metadata')
    if (error instanceof NoScratchSpace) return await servedCopy(context, error.message)
    if (!isOfFile(error)) throw error
    return { kind: 'none', reason: `it cannot be written without its metadata: ${error.message}` }
  }
}

/**
 * Whether it lies in the file, or in what can hold it, that there is no copy. Anything else, such as a tool that was
 * killed, is a failed attempt, and the next one may make it.
 */
function isOfFile(error: unknown): error is Error {
  if (error instanceof ToolFailed) return error.kind === 'output-too-large'
  return error instanceof UnreadableInput || error instanceof ObjectTooLarge
}

/** On a machine that has too much to do as well as with a file that takes long: which of them it was is not known. */
const isOutOfTime = (error: unknown): boolean => error instanceof ToolFailed && error.kind === 'timed-out'

/**
 * What is served already, by an attempt before this one that could not say so; it is as good as a new one. Where there is
 * none, there is no copy for this reason.
 */
async function servedCopy({ media, db, objects }: StepContext, elseReason: string): Promise<PublicCopy> {
  const earlier = await findRendition(db, media, 'published')
  if (earlier && (await objects.sizeOf(earlier.storage_key)) !== undefined)
    return { kind: 'made', key: earlier.storage_key }
  return { kind: 'none', reason: elseReason }
}

/** Notes where the copy will be before it is made, so that whatever happens it will be removed with its media. */
async function recordCopy({ media, db }: StepContext, template: string, size: number): Promise<PublicCopy> {
  const extension = formatOfType(FORMATS, media.content_type ?? '')?.extensions[0] ?? 'bin'
  // An earlier attempt may have made it under another prefix.
  const earlier = await findRendition(db, media, 'published')
  const key = earlier?.storage_key ?? publishedKey(template, media, extension)
  const isRecorded = await recordRendition(db, {
    storage_backend: media.storage_backend,
    media_id: media.id,
    kind: 'published',
    storage_key: key,
    content_type: servedAs(media.content_type).contentType,
    width: media.width,
    height: media.height,
    size,
  })
  return isRecorded ? { kind: 'made', key } : { kind: 'ended' }
}

/** An attempt before this one may have noted a copy, and even made it. */
async function withdraw({ media, db, objects }: StepContext): Promise<void> {
  const earlier = await findRendition(db, media, 'published')
  if (!earlier) return
  await objects.remove(earlier.storage_key)
  await dropRendition(db, media.id, 'published')
}
