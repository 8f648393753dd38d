import type { PgBoss } from 'pg-boss'
import { isBeingProcessed, type RemovalJob } from '../jobs/queues.ts'
import { isAnyBackupRunning } from '../ledger/backup-lock.ts'
import { isNeededByFinal } from '../ledger/concatenation.ts'
import { findRemoval, forgetRenditions } from '../ledger/removal.ts'
import { expediteStrays } from '../ledger/stray-copies.ts'
import type { StrayRemover } from '../storage/moving/remove-strays.ts'
import { RENDITION_NAMES, renditionKey } from '../storage/store/keys.ts'
import type { PutBackJob, TakenJob } from './polling/poller.ts'
import type { Tools } from './step/step.ts'

/** When a public copy is removed again that may have been made meanwhile. */
const AGAIN_MS = 5_000
/** When the bytes of a partial upload are looked at again that a concatenation needs; the end of that removes them. */
const NEEDED_MS = 15 * 60_000

/** Removes what an ended upload has to leave behind no longer. Done twice, it changes nothing. */
export function remover(
  boss: PgBoss,
  { db, storage }: Pick<Tools, 'db' | 'storage'>,
  strays: Pick<StrayRemover, 'removeOf'>,
) {
  return async function remove({
    data,
    signal,
  }: TakenJob<RemovalJob>): Promise<PutBackJob<RemovalJob> | undefined> {
    const removal = await findRemoval(db, data.uploadId)
    if (!removal) return undefined
    const { isWhole, media, publishedKey } = removal
    if (isWhole && (await isNeededByFinal(db, data.uploadId))) return { data, afterMs: NEEDED_MS }
    const objects = await storage.objectsOf(removal)
    const keys = new Set(removal.renditionKeys)
    // What was stored and never recorded goes as well.
    if (isWhole && media) for (const name of RENDITION_NAMES) keys.add(renditionKey(media, name))
    await objects.removeMany([...keys])
    if (publishedKey !== undefined) await objects.removeCopy(publishedKey)
    // What is elsewhere of it is not for anybody any more either.
    const isEnded = isWhole || publishedKey !== undefined
    let left = isEnded ? await expediteStrays(db, data.uploadId) : 'none'
    if (left !== 'none') {
      // A backup that is being made may name the other copies of what is not deleted for good.
      const only = !isWhole && (await isAnyBackupRunning(db)) ? publishedKey : undefined
      await strays.removeOf(data.uploadId, only, signal)
      left = await expediteStrays(db, data.uploadId)
    }
    if (isWhole) await (await storage.bytesOf(removal)).discard(data.uploadId)
    if (media && isEnded && (await isBeingProcessed(boss, media.id))) {
      // A worker may be storing a rendition or the public copy at this moment, and not live to take it back.
      return { data, afterMs: AGAIN_MS }
    }
    // A mover that makes copies at this moment finds at the end that they are not wanted. What cannot be removed now, the
    // upkeep does.
    if (left === 'copying') return { data, afterMs: AGAIN_MS }
    await forgetRenditions(db, data.uploadId)
    return undefined
  }
}
