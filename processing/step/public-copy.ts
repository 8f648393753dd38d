import { formatOfType, KNOWN } from '../../content/formats.ts'
import { servedAs } from '../../content/served-as.ts'
import { dropRendition, findRendition, recordRendition } from '../../ledger/media.ts'
import { isCopyLeaving, isMediaAvailable } from '../../ledger/removal.ts'
import { publishedKey } from '../../storage/store/keys.ts'
import { ObjectTooLarge } from '../../storage/store/objects.ts'
import { RetryLater } from '../failures/job-failures.ts'
import { copyScratchBytes } from '../tools/scratch-size.ts'
import { ToolFailed, UnreadableInput } from '../tools/tool-errors.ts'
import { NoScratchSpace, withScratch } from './scratch.ts'
import type { StepContext } from './step.ts'
import { writeStripped } from './stripped-file.ts'

export type PublicCopy =
  | { kind: 'made'; key: string }
  /** The file stays private. */
  | { kind: 'none'; reason: string }
  /** The media item has ended in the meantime; its removal includes what was begun. */
  | { kind: 'ended' }

/**
 * Makes the public copy of a file, which of media is never the original: for an image the one that another step has
 * encoded anew, for video and audio a remux, without the metadata of cameras and programs. Repeating it replaces the
 * copy.
 */
export async function makePublicCopy(context: StepContext, template: string): Promise<PublicCopy> {
  await requireNoneLeaving(context)
  const copy = await (WAYS[context.media.kind ?? 'file'] ?? ofStreams)(context, template)
  if (copy.kind === 'none') await withdraw(context)
  return copy
}

const WAYS: Readonly<Record<string, typeof ofFile>> = { image: ofImage, document: ofFile, file: ofFile }

/** Nobody knows what to remove from other files: the copy is the file. */
async function ofFile(context: StepContext, template: string): Promise<PublicCopy> {
  const { media, objects } = context
  const copy = await recordCopy(context, template, { size: media.size, contentType: media.content_type })
  if (copy.kind === 'made')
    await objects.copy(media.storage_key, copy.key, servedAs(media.content_type), media.etag)
  return copy
}

async function ofImage(context: StepContext, template: string): Promise<PublicCopy> {
  const { media, db, objects } = context
  const stripped = await findRendition(db, media, 'image')
  if (!stripped) return { kind: 'none', reason: 'there is no image without its metadata' }
  const { size, content_type: contentType } = stripped
  const copy = await recordCopy(context, template, { size, contentType })
  if (copy.kind === 'made') await objects.copy(stripped.storage_key, copy.key, servedAs(contentType), null)
  return copy
}

async function ofStreams(context: StepContext, template: string): Promise<PublicCopy> {
  const { media, objects, scratch, signal } = context
  try {
    const room = { name: `${media.id}.public`, bytes: copyScratchBytes(media) }
    return await withScratch(scratch, room, async (folder): Promise<PublicCopy> => {
      const { path, size, contentType } = await writeStripped(context, folder)
      const copy = await recordCopy(context, template, { size, contentType })
      if (copy.kind === 'made') await objects.putFile(copy.key, path, servedAs(contentType), signal)
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
 * Whether the file, or its container, is the reason that there is no copy. Anything else, such as a killed tool, is a
 * failed attempt.
 */
function isOfFile(error: unknown): error is Error {
  if (error instanceof ToolFailed) return error.kind === 'output-too-large'
  return error instanceof UnreadableInput || error instanceof ObjectTooLarge
}

/** Either the machine is overloaded or the file takes long: which, is not known. */
const isOutOfTime = (error: unknown): boolean => error instanceof ToolFailed && error.kind === 'timed-out'

/** The copy of an earlier attempt that could not record it. Without one, there is no copy, for this reason. */
async function servedCopy({ media, db, objects }: StepContext, elseReason: string): Promise<PublicCopy> {
  const earlier = await findRendition(db, media, 'published')
  if (earlier && (await objects.sizeOf(earlier.storage_key)) !== undefined)
    return { kind: 'made', key: earlier.storage_key }
  return { kind: 'none', reason: elseReason }
}

/** Records the key of the copy before it is made, so that it is removed with its media item in any case. */
async function recordCopy(
  { media, db }: StepContext,
  template: string,
  { size, contentType }: { size: number; contentType: string | null },
): Promise<PublicCopy> {
  const extension = formatOfType(KNOWN, contentType ?? '')?.extensions[0] ?? 'bin'
  // An earlier attempt may have used another prefix.
  const earlier = await findRendition(db, media, 'published')
  const key = earlier?.storage_key ?? publishedKey(template, media, extension)
  const isRecorded = await recordRendition(db, {
    storage_backend: media.storage_backend,
    media_id: media.id,
    kind: 'published',
    storage_key: key,
    content_type: servedAs(contentType).contentType,
    width: media.width,
    height: media.height,
    size,
  })
  if (isRecorded) return { kind: 'made', key }
  await requireNoneLeaving({ media, db })
  return { kind: 'ended' }
}

/** Fails with `RetryLater` while a former copy is being removed, which would remove the new one. */
async function requireNoneLeaving({ media, db }: Pick<StepContext, 'media' | 'db'>): Promise<void> {
  if ((await isCopyLeaving(db, media.id)) && (await isMediaAvailable(db, media.upload_id)))
    throw new RetryLater('the former public copy is still being removed')
}

/** An earlier attempt may have recorded a copy, and even made it. */
async function withdraw({ media, db, objects }: StepContext): Promise<void> {
  const earlier = await findRendition(db, media, 'published')
  if (!earlier) return
  await objects.remove(earlier.storage_key)
  await dropRendition(db, media.id, 'published')
}
