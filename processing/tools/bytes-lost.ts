import type { MediaRow } from '../../ledger/media.ts'
import type { Reason } from '../../ledger/schema.ts'
import { BytesLost, ObjectMissing, type Objects } from '../../storage/store/objects.ts'
import { InputNotDelivered } from './tool-errors.ts'

export const BYTES_LOST: Reason = {
  code: 'bytes-lost',
  detail: 'The storage has lost bytes of this file. Upload it again.',
}

/**
 * Whether an error means that the media's bytes are gone for good. Ask only when the storage is known to
 * answer. An object that was checked to be there before is asked for once more: that it is missing could be
 * the answer of something between it and us, and a tool says no more than that it did not get it.
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
