import type { MediaRow } from '../../ledger/media.ts'
import type { Reason } from '../../ledger/schema.ts'
import { BytesLost, ObjectMissing, type Objects } from '../../storage/store/objects.ts'
import { InputNotDelivered } from './tool-errors.ts'

export const BYTES_LOST: Reason = {
  code: 'bytes-lost',
  detail: 'The storage has lost bytes of this file. Upload it again.',
}

/**
 * Whether an error means that the bytes of a media item are gone for good. Call it only when the storage is known to
 * answer. An object that was there before is checked once more: a proxy could have reported it as missing, and a tool
 * only says that it did not get it.
 */
export async function isBytesLost(error: unknown, objects: Objects, media: MediaRow): Promise<boolean> {
  if (error instanceof BytesLost) return true
  const isSuspect = error instanceof ObjectMissing || error instanceof InputNotDelivered
  if (!isSuspect || media.etag === null) return false
  try {
    const source = await objects.read(media.storage_key, { range: { start: 0, end: 0 }, etag: media.etag })
    source.destroy()
    return false
  } catch (again) {
    return again instanceof ObjectMissing
  }
}
