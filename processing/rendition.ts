import { findRendition, recordRendition } from '../ledger/media.ts'
import { RENDITIONS, type RenditionKind, renditionKey } from '../storage/keys.ts'
import { servedAs } from '../storage/served-as.ts'
import { ToolFailed, UnreadableInput } from './ffmpeg.ts'
import type { StepContext } from './step.ts'

export type Rendition = {
  kind: RenditionKind
  data: Uint8Array
  contentType: string
  /** Pixels; null for what is no picture. */
  width: number | null
  height: number | null
}

/** Stores a rendition and notes it in the ledger. Doing it again changes nothing. */
export async function storeRendition(
  { media, objects, db }: Pick<StepContext, 'media' | 'objects' | 'db'>,
  { kind, data, contentType, width, height }: Rendition,
): Promise<void> {
  const key = renditionKey(media, RENDITIONS[kind])
  await objects.put(key, data, servedAs(contentType))
  const isRecorded = await recordRendition(db, {
    media_id: media.id,
    kind,
    storage_key: key,
    content_type: contentType,
    width,
    height,
    size: data.byteLength,
  })
  // The media has ended meanwhile, so nobody will look at this; unless it is another worker's as well,
  // recorded before. Not done, it goes with the rest of the media.
  if (!isRecorded && !(await findRendition(db, media.id, kind))) await objects.remove(key)
}

/**
 * Whether a tool could make nothing of this file, in the time that it had: the file goes without. An outage is
 * none of it, and neither is being told to stop.
 */
export function isFruitless(error: unknown, signal: AbortSignal): error is Error {
  return !signal.aborted && (error instanceof UnreadableInput || error instanceof ToolFailed)
}
