import type { Ledger } from '../../ledger/database.ts'
import type { UploadId } from '../../ledger/ids.ts'
import type { Backend } from '../../ledger/storage-places.ts'
import { forgetStray, holdStrays, putOffStray } from '../../ledger/stray-copies.ts'
import { inParallel } from '../in-parallel.ts'
import type { Storage } from '../storage.ts'

export type StrayOptions = {
  db: Ledger
  storage: Pick<Storage, 'objectsOf'>
  /** Told once of each batch and backend of what could not be removed: it is tried again in a while. */
  onFailure: (failure: StrayFailure) => void
}

/** `uploads`: of how many it has copies that could not be removed; `error`: of the first of them. */
export type StrayFailure = { backend: Backend; uploads: number; error: unknown }

const BATCH = 100
const AT_ONCE = 4

/**
 * Removes copies that nobody serves any more: those whose time has come, or all of one upload that has ended. Returns how
 * many uploads they were of.
 */
export async function removeStrays(
  { db, storage, onFailure }: StrayOptions,
  uploadId?: UploadId,
): Promise<number> {
  let removed = 0
  for (;;) {
    const strays = await holdStrays(db, { limit: BATCH, ...(uploadId ? { uploadId } : {}) })
    const failures = new Map<Backend, StrayFailure>()
    await inParallel(strays, AT_ONCE, async (stray) => {
      try {
        const objects = await storage.objectsOf({ storage_backend: stray.backend })
        // Copies that were made a part at a time may have left parts.
        if (stray.isBegun) for (const key of stray.keys) await objects.removeCopy(key)
        else await objects.removeMany(stray.keys)
        await forgetStray(db, stray)
        removed += 1
      } catch (error) {
        const { backend } = stray
        const { uploads, error: first } = failures.get(backend) ?? { uploads: 0, error }
        failures.set(backend, { backend, uploads: uploads + 1, error: first })
        await putOffStray(db, stray)
      }
    })
    for (const failure of failures.values()) onFailure(failure)
    if (strays.length < BATCH || uploadId !== undefined) return removed
  }
}
