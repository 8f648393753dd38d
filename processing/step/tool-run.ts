import { FORMATS } from '../../content/formats.ts'
import type { ToolRun } from '../tools/ffmpeg.ts'
import type { StepContext } from './step.ts'

/**
 * What every tool is told of a media: where it is, and as what it may be opened. To be asked for anew for each run: an
 * address works for some minutes only.
 */
export async function toolRun({
  media,
  objects,
  signal,
}: Pick<StepContext, 'media' | 'objects' | 'signal'>): Promise<ToolRun> {
  const demuxers = FORMATS.find((f) => f.contentType === media.content_type)?.demuxers ?? []
  return { input: await objects.toolInput(media.storage_key), size: media.size, demuxers, signal }
}
