import { FORMATS } from '../../content/formats.ts'
import type { ToolRun } from '../tools/ffmpeg.ts'
import type { StepContext } from './step.ts'

/**
 * What every tool needs to know of a media item: its address and the demuxers for it. Call it for each run: an address
 * is valid for some minutes.
 */
export async function toolRun({
  media,
  objects,
  signal,
}: Pick<StepContext, 'media' | 'objects' | 'signal'>): Promise<ToolRun> {
  const demuxers = FORMATS.find((f) => f.contentType === media.content_type)?.demuxers ?? []
  return { input: await objects.toolInput(media.storage_key), size: media.size, demuxers, signal }
}
