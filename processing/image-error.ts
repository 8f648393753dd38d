import type { MediaRow } from '../ledger/media.ts'
import type { Objects } from '../storage/objects.ts'
import { Rejected } from './verdict.ts'

/** What a failure of the image library means: a damaged picture, or that its bytes could not be had. */
export async function imageError(error: unknown, objects: Objects, media: MediaRow): Promise<unknown> {
  if ((await objects.sizeOf(media.storage_key)) !== media.size) return error
  return new Rejected('damaged', 'The picture is damaged or incomplete.')
}
