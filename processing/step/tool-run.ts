import { createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { FORMATS } from '../../content/formats.ts'
import { translateDiskError } from '../../storage/disk/disk-objects.ts'
import type { ToolRun } from '../tools/ffmpeg.ts'
import type { PictureSize, Shown } from '../tools/shown-picture.ts'
import { streamsOf } from '../tools/streams.ts'
import { isRemote } from '../tools/tool-runner.ts'
import type { StepContext } from './step.ts'

/**
 * What every tool needs to know of a media item: its address and the demuxers for it. Call it for each run: an address
 * is valid for some minutes.
 */
export async function toolRun({
  media,
  objects,
  copy,
  signal,
}: Pick<StepContext, 'media' | 'objects' | 'copy' | 'signal'>): Promise<ToolRun> {
  const demuxers = FORMATS.find((f) => f.contentType === media.content_type)?.demuxers ?? []
  return {
    input: copy?.path ?? (await objects.toolInput(media.storage_key)),
    size: media.size,
    demuxers,
    signal,
  }
}

/** The same for the picture of a video, as it is to be shown in this size. */
export async function pictureRun(context: StepContext, size: PictureSize): Promise<ToolRun & Shown> {
  const { picture } = streamsOf(context.media)
  return { ...(await toolRun(context)), ...size, picture, isHdr: context.media.is_hdr === true }
}

/**
 * A run on a local file, copied into the folder where the object is remote: an address is valid for minutes, and some
 * work takes hours.
 */
export async function localRun(
  context: Pick<StepContext, 'media' | 'objects' | 'copy' | 'signal'>,
  folder: string,
): Promise<ToolRun> {
  const { media, objects, signal } = context
  const run = await toolRun(context)
  if (!isRemote(run.input)) return run
  const copy = join(folder, 'source')
  const source = await objects.read(media.storage_key, { etag: media.etag })
  await pipeline(source, createWriteStream(copy), { signal }).catch((error: unknown) => {
    throw translateDiskError(error)
  })
  const { size } = await stat(copy)
  if (size !== media.size) throw new Error(`the storage gave ${size} bytes of ${media.size}`)
  return { ...run, input: copy }
}
