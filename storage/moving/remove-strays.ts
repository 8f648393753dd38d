import type { Ledger } from '../../ledger/database.ts'
import type { UploadId } from '../../ledger/ids.ts'
import { forgetStray, holdStrays, putOffStray } from '../../ledger/stray-copies.ts'
import { inParallel } from '../in-parallel.ts'
import type { Storage } from '../storage.ts'

export type StrayOptions = {
  db: Ledger
  storage: Pick<Storage, 'objectsOf'>
  /** Told of what could not be removed: it is tried again in a while. */
  onError: (error: unknown) => void
}

const BATCH = 100
const AT_ONCE = 4

/**
 * Removes copies that nobody serves any more: those whose time has come, or all of one upload that has ended. Returns how
 * many uploads they were of.
 */
export async function removeStrays(
  { db, storage, onError }: StrayOptions,
  uploadId?: UploadId,
): Promise<number> {
  let removed = 0
  for (;;) {
    const strays = await holdStrays(db, { limit: BATCH, ...(uploadId ? { uploadId } : {}) })
    await inParallel(strays, AT_ONCE, async (stray) => {
      try {
        const objects = await storage.objectsOf({ storage_backend: stray.backend })
        // Copies that were made a part at a time may have left parts.
        if (stray.isBegun) for (const key of stray.keys) await objects.removeCopy(key)
        else await objects.removeMany(stray.keys)
        await forgetStray(db, stray)
        removed += 1
      } catch (error) {
        onError(error)
        await putOffStray(db, stray)
      }
    })
    if (strays.length < BATCH || uploadId !== undefined) return removed
  }
}
