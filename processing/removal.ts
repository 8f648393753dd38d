import type { PgBoss } from 'pg-boss'
import { isBeingProcessed, type RemovalJob } from '../jobs/queues.ts'
import { isAnyBackupRunning } from '../ledger/backup-lock.ts'
import { isNeededByFinal } from '../ledger/concatenation.ts'
import { findRemoval, forgetRenditions, isMediaAvailable, withdrawPublicCopy } from '../ledger/removal.ts'
import { expediteStrays } from '../ledger/stray-copies.ts'
import type { StrayRemover } from '../storage/moving/remove-strays.ts'
import { RENDITION_NAMES, renditionKey } from '../storage/store/keys.ts'
import type { PutBackJob, TakenJob } from './polling/poller.ts'
import type { Tools } from './step/step.ts'

/** Delay before a public copy is removed again, in case it was being made. */
const AGAIN_MS = 5_000
/**
 * Delay before the bytes of a partial upload that a concatenation needs are checked again. The end of the concatenation
 * removes them.
 */
const NEEDED_MS = 15 * 60_000

/** Removes the bytes that an ended upload must no longer have. Idempotent. */
export function remover(
  boss: PgBoss,
  { db, storage }: Pick<Tools, 'db' | 'storage'>,
  strays: Pick<StrayRemover, 'removeOf'>,
) {
  return async function remove({
    data,
    signal,
  }: TakenJob<RemovalJob>): Promise<PutBackJob<RemovalJob> | undefined> {
    await withdrawPublicCopy(db, data.uploadId)
    const removal = await findRemoval(db, data.uploadId)
    if (!removal) return undefined
    const { isWhole, media, publishedKey } = removal
    if (isWhole && (await isNeededByFinal(db, data.uploadId))) return { data, afterMs: NEEDED_MS }
    const objects = await storage.objectsOf(removal)
    const keys = new Set(removal.renditionKeys)
    // Including renditions that were stored and never recorded.
    if (isWhole && media) for (const name of RENDITION_NAMES) keys.add(renditionKey(media, name))
    await objects.removeMany([...keys])
    if (publishedKey !== undefined) await objects.removeCopy(publishedKey)
    // Copies in other backends are not needed any more either.
    const isEnded = isWhole || publishedKey !== undefined
    let left = isEnded ? await expediteStrays(db, data.uploadId) : 'none'
    if (left !== 'none') {
      // A running backup may refer to the other copies of what is not deleted for good.
      const only = !isWhole && (await isAnyBackupRunning(db)) ? publishedKey : undefined
      await strays.removeOf(data.uploadId, only, signal)
      left = await expediteStrays(db, data.uploadId)
    }
    if (isWhole) await (await storage.bytesOf(removal)).discard(data.uploadId)
    const isRestored = !isWhole && (await isMediaAvailable(db, data.uploadId))
    // The worker of a restored one waits for this removal, and then makes its copy again.
    if (media && isEnded && !isRestored && (await isBeingProcessed(boss, media.id))) {
      // A worker may be storing a rendition or the public copy now, and crash before it can remove it.
      return { data, afterMs: AGAIN_MS }
    }
    // A move that is making copies now finds at its end that they are not wanted. Upkeep removes what cannot be removed
    // now.
    if (left === 'copying') return { data, afterMs: AGAIN_MS }
    await forgetRenditions(db, data.uploadId)
    return undefined
  }
}
