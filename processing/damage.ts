import type { MediaRow } from '../ledger/media.ts'
import type { Objects } from '../storage/objects.ts'
import { Rejected } from './verdict.ts'

/** What it means that a tool could not read a file: that it is damaged, if all of its bytes are there. */
export async function damageOr(error: unknown, objects: Objects, media: MediaRow): Promise<unknown> {
  if ((await objects.sizeOf(media.storage_key)) !== media.size) return error
  return new Rejected('damaged', 'The file is damaged or incomplete.')
}
